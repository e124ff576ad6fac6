"""The network: oracles for its parts, and its options."""

import importlib
import shutil
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.optim import make_optimizer, set_lr, step_if
from models import MODELS, Painter, attention, create_model, model_config
from models.attention import BACKENDS, attend, fastest
from models.vit import Memo, absolute_position, attend_in_windows, relative_table, share_query

TINY = {
    "img_size": (64, 32),
    "embed_dim": 24,
    "depth": 4,
    "num_heads": 2,
    "decoder_embed_dim": 4,
    "drop_path_rate": 0.0,
}


def tiny(**changes):
    torch.manual_seed(0)
    model = create_model("painter_vit_tiny", **{**TINY, **changes})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "rel_pos" in name:
                parameter.normal_()
    return model


def canvases(n=2, h=64, w=32):
    g = torch.Generator().manual_seed(1)
    mask = torch.rand(n, h // 16, w // 16, generator=g) < 0.5
    return torch.randn(n, 3, h, w, generator=g), torch.randn(n, 3, h, w, generator=g), mask


def attention_by_hand(q, k, v, row_table, col_table):
    """The formula, one query and one key at a time."""
    (b, n, num_queries, d), num_keys, w = q.shape, k.shape[2], len(col_table)
    scores = torch.empty(b, n, num_queries, num_keys, dtype=q.dtype)
    for i in range(num_queries):
        for j in range(num_keys):
            bias = row_table[i // w, j // w] + col_table[i % w, j % w]
            scores[:, :, i, j] = (q[:, :, i] * k[:, :, j]).sum(-1) / d**0.5 + q[:, :, i] @ bias
    return scores.softmax(-1) @ v


def attention_inputs(h=3, w=2, d=4, rows=None, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    rows = rows or h
    shapes = [(2, 3, rows * w, d), (2, 3, h * w, d), (2, 3, h * w, d), (rows, h, d), (w, w, d)]
    return [torch.randn(*shape, generator=g, dtype=dtype).requires_grad_() for shape in shapes]


def with_gradients(function, inputs):
    """What it returns, and the gradient of each input."""
    found = function(*inputs)
    return [found, *torch.autograd.grad(found.double().square().sum(), inputs)]


FLEX_WARNINGS = ("ignore:flex_attention called without", "ignore:The .grad attribute of a Tensor")
SHAPES = [{}, {"h": 1, "w": 5}, {"h": 4, "w": 3, "d": 7}, {"h": 4, "w": 3, "rows": 2}]


@pytest.fixture
def flex_on_cpu(monkeypatch):
    """FlexAttention's own formula in place of its kernels, of which none for the CPU has gradients."""
    module = importlib.import_module("torch.nn.attention.flex_attention")
    monkeypatch.setattr(module, "_validate_device", lambda *_: None)
    monkeypatch.setattr(attention, "_flex_kernel", lambda _: module.flex_attention)


@pytest.mark.filterwarnings(*FLEX_WARNINGS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_equals_the_formula_with_gradients(backend, shape, flex_on_cpu):
    inputs = attention_inputs(**shape)
    expected = with_gradients(attention_by_hand, inputs)
    for a, b in zip(with_gradients(partial(attend, backend=backend), inputs), expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings(*FLEX_WARNINGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_in_bf16_is_as_exact_as_its_numbers(backend, flex_on_cpu):
    inputs = attention_inputs(8, 4, 16, dtype=torch.bfloat16)
    expected = with_gradients(attention_by_hand, [x.detach().double().requires_grad_() for x in inputs])
    for a, b in zip(with_gradients(partial(attend, backend=backend), inputs), expected, strict=True):
        assert (a - b).norm() < 0.03 * b.norm()


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_flex_equals_the_formula():
    inputs = [x.detach() for x in attention_inputs(4, 3, 16, rows=2, dtype=torch.float32)]
    torch.testing.assert_close(attend(*inputs, backend="flex"), attention_by_hand(*inputs))


def kept_bytes(backend, side):
    """What autograd keeps of attention over side x side tokens."""
    inputs, kept = attention_inputs(side, side, 64, dtype=torch.float32), {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        attend(*inputs, backend=backend)
    return sum(kept.values())


@pytest.mark.parametrize(("backend", "growth"), [("folded", (4, 6)), ("explicit", (8, 17))])
def test_memory_of_four_times_as_many_tokens(backend, growth):
    assert growth[0] < kept_bytes(backend, 32) / kept_bytes(backend, 16) < growth[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 100, 1000, 5000, 2**21])
def test_chunks_of_any_size_make_the_whole(monkeypatch, chunk, dtype):
    inputs = attention_inputs(5, 3, 8, rows=4, dtype=dtype)
    expected = attend(*inputs, backend="chunked")
    monkeypatch.setattr(attention, "CHUNK_BYTES", chunk)
    torch.testing.assert_close(attend(*inputs, backend="chunked"), expected)


def test_auto_stores_no_scores_on_a_gpu_and_is_exact_on_a_cpu():
    q = torch.empty(1, 1, 6, 4)
    assert fastest(q) == "chunked"
    assert fastest(q.requires_grad_()) == "explicit"
    with torch.device("meta"):  # a device that is no CPU
        assert fastest(torch.empty(1, 1, 6, 4)) == fastest(torch.empty(1, 1, 6, 4, requires_grad=True)) == "folded"


def test_flex_says_that_it_does_not_train_on_the_cpu():
    with pytest.raises(ValueError, match=r"no gradients on the CPU; give model\.attention auto"):
        attend(*attention_inputs(), backend="flex")


@pytest.mark.filterwarnings(*FLEX_WARNINGS)
@pytest.mark.parametrize("size", [(64, 32), (96, 64), (32, 48)])
@pytest.mark.parametrize("changes", [{}, {"window_size": 3, "window_blocks": (0, 2)}, {"merge_after": None}], ids=str)
def test_back_ends_paint_and_learn_alike(changes, size, flex_on_cpu):
    """At the size of the tables and at others, for which they are resized."""

    def outputs(backend):
        model = tiny(attention=backend, **changes)
        pred = model(*canvases(1, *size))
        pred.square().mean().backward()
        return [pred, *(p.grad for name, p in model.named_parameters() if "attn" in name or "pos" in name)]

    reference, *others = map(outputs, ["explicit", "auto", *BACKENDS])
    for found in others:
        for a, b in zip(found, reference, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_relative_table_indexes_offsets_and_resizes():
    table = torch.arange(5.0)[:, None]
    assert relative_table(table, 3)[..., 0].tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert relative_table(table, 5).shape == (5, 5, 1)


def test_absolute_position_drops_the_class_slot_and_keeps_a_square_grid():
    table = torch.arange(10.0).view(1, 10, 1)
    assert absolute_position(table, (3, 3)).flatten().tolist() == list(range(1, 10))
    assert absolute_position(table, (6, 2)).shape == (1, 6, 2, 1)


def test_windows_see_only_their_own_tokens():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2), keepdim=True).expand_as(x)

    x = torch.arange(20.0).view(1, 4, 5, 1)
    out = attend_in_windows(Mean(), x, 2)
    assert out.shape == x.shape
    assert out[0, 0, 0, 0] == x[0, :2, :2].mean()
    assert out[0, 0, 4, 0] == x[0, :2, 4:].sum() / 4  # the missing column is padded with zeros


def test_feature_ensemble_shares_the_query_among_its_own_prompts():
    x = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 1, 1)
    assert share_query(x, 2)[:, 0].flatten().tolist() == [0, 1, 2, 3]
    assert share_query(x, 2)[:, 1].flatten().tolist() == [0.5, 0.5, 2.5, 2.5]


def test_ensemble_of_equal_prompts_changes_nothing():
    model, (images, targets, mask) = tiny().eval(), canvases(1)
    batch = [x.expand(3, *x.shape[1:]) for x in (images, targets, mask)]
    torch.testing.assert_close(model(*batch, num_prompts=3), model(*batch))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"merge_after": 0},
        {"merge_after": 3},
        {"merge_after": None},
        {"head": "linear"},
        {"depth": 8},
        {"window_size": 3, "window_blocks": (0, 2)},
        {"type_tokens": True},
        {"patch_size": 8, "num_heads": 4},
    ],
    ids=str,
)
def test_every_option_paints_and_learns(changes):
    model, (images, targets, _) = tiny(**changes), canvases()
    grid = model.config.grid
    mask = torch.ones(2, *grid)
    pred = model(images, targets, mask)
    assert pred.shape == images.shape
    pred.square().mean().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("changes", "call", "size"),
    [
        ({}, {}, (64, 32)),
        ({}, {}, (160, 48)),  # a half of five rows
        ({}, {}, (80, 48)),  # the half begins within a token
        ({"merge_after": None}, {}, (64, 48)),
        ({"merge_after": 3}, {}, (64, 32)),
        ({"merge_after": 0, "depth": 8}, {}, (64, 32)),
        ({"head": "linear"}, {}, (64, 32)),
        ({"attention": "explicit"}, {}, (96, 48)),
        ({"window_size": 3, "window_blocks": (0, 3)}, {}, (128, 64)),
        ({"window_size": 3, "window_blocks": (3,), "merge_after": None}, {"num_prompts": 2}, (64, 48)),
        ({"type_tokens": True}, {"token_type": 1}, (64, 32)),
        ({}, {"num_prompts": 2}, (96, 32)),
        ({"merge_after": 3}, {"num_prompts": 2}, (64, 32)),
        ({"patch_size": 8}, {}, (48, 24)),
    ],
    ids=str,
)
def test_the_query_alone_is_the_bottom_half_of_all(changes, call, size, dtype):
    model = tiny(**changes).eval().to(dtype)
    images, targets, _ = (x.to(dtype) for x in canvases(4, *size))
    mask = torch.ones(4, *(side // model.config.patch_size for side in size))
    mask[:, : len(mask[0]) // 2] = torch.arange(size[1] // model.config.patch_size) % 2
    whole = model(images, targets, mask, **call)
    query = model(images, targets, mask, **call, query_only=True)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6 * whole.abs().max().item()
    torch.testing.assert_close(query, whole[:, :, size[0] // 2 :], rtol=0, atol=tolerance)


def test_the_query_alone_leaves_out_what_the_prompt_needs():
    """Four rows of tokens: three go through the last block's second part and the head, four through all else."""
    model, rows = tiny().eval(), {}
    names = [name for name, _ in model.named_modules() if "qkv" in name or "fc1" in name or "decoder_embed" in name]
    for name in names:
        hook = lambda _, inputs, __, name=name: rows.update({name: inputs[0].shape[1]})  # noqa: E731
        model.get_submodule(name).register_forward_hook(hook)
    model(*canvases(), query_only=True)
    assert rows == {name: 3 if name in ("blocks.3.mlp.fc1", "decoder_embed") else 4 for name in names}


def test_hidden_targets_are_not_seen_and_visible_ones_are():
    for merge_after in (2, None):
        model, (images, targets, mask) = tiny(merge_after=merge_after).eval(), canvases()
        hidden = mask[:, None].repeat_interleave(16, 2).repeat_interleave(16, 3)
        pred = model(images, targets, mask)
        torch.testing.assert_close(model(images, torch.where(hidden, 9.0, targets), mask), pred)
        assert not torch.allclose(model(images, torch.where(hidden, targets, 9.0), mask), pred)
        assert not torch.allclose(model(images + 1, targets, mask), pred)


@pytest.mark.parametrize("backend", ["explicit", "folded"])
def test_activation_checkpointing_gives_the_same_gradients(backend):
    gradients = []
    for policy in ("none", "selective", "full"):
        model = tiny(checkpointing=policy, drop_path_rate=0.5, attention=backend).train()
        torch.manual_seed(3)
        model(*canvases()).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for found in gradients[1:]:
        for a, b in zip(found, gradients[0], strict=True):
            torch.testing.assert_close(a, b)


class Products(TorchDispatchMode):
    """Counts the matrix products inside."""

    num = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.num += function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return function(*args, **kwargs or {})


def test_selective_checkpointing_repeats_no_large_product_and_full_all_of_them():
    counts = {}
    for policy in ("none", "selective", "full"):
        loss = tiny(checkpointing=policy, attention="folded").train()(*canvases()).square().mean()
        with Products() as products:
            loss.backward()
        counts[policy] = products.num
    assert counts["none"] == counts["selective"]
    assert (
        counts["full"] == counts["none"] + 3 * 4 + 1
    )  # of a block all but the last, which no gradient asks for, and the head's


def test_old_checkpoints_tell_checkpointing_by_yes_or_no():
    assert [model_config("painter_vit_tiny", checkpointing=x).checkpointing for x in (False, True)] == ["none", "full"]


def change_weights(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()


def replace_storage(model):
    for parameter in model.parameters():
        parameter.data = torch.rand_like(parameter)


def change_unnoticed(model):
    for parameter in model.parameters():
        with torch.autograd._unsafe_preserve_version_counter(parameter):
            parameter.detach().normal_()
    model.train()
    model.eval()


def step_of_the_optimiser(model):
    """Its fused kernel changes weights in a way that PyTorch does not note."""
    optimizer = make_optimizer(model, 0.1, 1.0, (0.9, 0.999))
    set_lr(optimizer, 0.1)
    model(*canvases()).square().mean().backward()
    step_if(optimizer, torch.tensor(True))


@pytest.mark.parametrize(
    "change",
    [
        change_weights,
        replace_storage,
        change_unnoticed,
        lambda model: model.load_state_dict({k: torch.randn_like(v) for k, v in model.state_dict().items()}),
        lambda model: model.double(),
        step_of_the_optimiser,
    ],
)
def test_tables_that_were_kept_follow_the_weights(change):
    """At two sizes in turn, of which one needs tables of another size."""
    model, other = tiny().eval(), tiny().eval()
    for size in [(64, 32), (96, 64), (64, 32)]:
        with torch.no_grad():
            model(*canvases(1, *size))
    change(model)
    other.to(model.pos_embed.dtype).load_state_dict(model.state_dict())
    inputs = [x.to(model.pos_embed.dtype) if x.is_floating_point() else x for x in canvases()]
    for _ in range(2):
        with torch.no_grad():
            assert torch.equal(model(*inputs), other(*inputs))


def test_no_table_is_kept_in_training():
    model = tiny().train()
    with torch.no_grad():
        before = model(*canvases())
        for name, parameter in model.named_parameters():
            if "rel_pos" in name:
                parameter.data.mul_(3)  # unnoticed
        assert not torch.equal(model(*canvases()), before)


def test_tables_are_made_once_for_a_size(monkeypatch):
    model, made = tiny().eval(), []
    for memo in (m for m in model.modules() if isinstance(m, Memo)):
        monkeypatch.setattr(memo, "make", lambda *args, make=memo.make: (made.append(0), make(*args))[1])
    with torch.inference_mode():
        for _ in range(3):
            model(*canvases())
    assert len(made) == 1 + 2 * 4  # position, and rows and columns of each block
    model(*canvases())
    assert len(made) == 2 * (1 + 2 * 4)  # gradients want their own


@pytest.mark.parametrize(
    "changes", [{}, {"merge_after": 0}, {"merge_after": 3}, {"depth": 8}, {"type_tokens": True}], ids=str
)
@pytest.mark.parametrize("num_prompts", [1, 2])
def test_what_is_known_of_targets_paints_the_same(changes, num_prompts):
    """Three queries below the same prompts."""
    model, (images, targets, mask) = tiny(**changes).eval(), canvases(3 * num_prompts)
    targets, mask, options = targets[:num_prompts], mask[:num_prompts], {"token_type": 1, "num_prompts": num_prompts}
    known = model.target_states(targets, mask, **options)
    assert len(known) == model.config.merge_after + 1
    for query_only in (False, True):
        expected = model(images, targets.repeat(3, 1, 1, 1), mask.repeat(3, 1, 1), **options, query_only=query_only)
        found = model(images, known, mask, **options, query_only=query_only)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_head_sees_channels_of_a_pixel_side_by_side():
    model, seen = tiny(), []
    model.decoder_pred[0].register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    model(*canvases())
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


def test_drop_path_keeps_the_mean_and_is_off_in_evaluation():
    block = tiny(drop_path_rate=0.5, depth=8).blocks[-1]
    x = torch.ones(4000, 1, 1, 1)
    dropped = block.train()._drop(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(dropped.mean() - 1) < 0.1
    assert torch.equal(block.eval()._drop(x), x)


def test_type_tokens_are_chosen_for_each_sample():
    model, batch = tiny(type_tokens=True).eval(), canvases()
    both = model(*batch, token_type=torch.tensor([0, 1]))
    torch.testing.assert_close(both[0], model(*batch, token_type=0)[0])
    torch.testing.assert_close(both[1], model(*batch, token_type=1)[1])


def test_initial_values():
    model = tiny()
    assert 0.015 < model.blocks[0].attn.qkv.weight.std() < 0.025
    assert model.blocks[0].attn.qkv.bias.abs().max() == 0
    assert 0.01 < model.mask_token.std() < 0.03
    assert torch.equal(model.norm.weight, torch.ones(24))
    assert create_model("painter_vit_tiny", **TINY).blocks[0].attn.rel_pos_h.abs().max() == 0


def test_registered_names_and_size():
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in Painter(config).parameters()) for name, config in MODELS.items()}
    assert round(sizes["painter_vit_large"] / 1e6, 1) == 370.7
    assert MODELS["painter_vit_large_patch16_input896x448_win_dec64_8glb_sl1"] == MODELS["painter_vit_large"]
    assert (
        sizes["painter_vit_large"] > sizes["painter_vit_base"] > sizes["painter_vit_small"] > sizes["painter_vit_tiny"]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 6}, "multiple of 4"),
        ({"embed_dim": 100}, "multiple of num_heads"),
        ({"img_size": (100, 50)}, "multiple of patch_size"),
        ({"window_blocks": (0,)}, "window_size is 0"),
        ({"window_blocks": (99,), "window_size": 2}, "must lie in"),
        ({"merge_after": 12}, "merge_after 12"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        model_config("painter_vit_tiny", **changes)


def test_unknown_model_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean painter_vit_large"):
        create_model("painter_vit_lrage")
