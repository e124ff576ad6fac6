"""The network: oracles for its parts, and its options."""

import pytest
import torch
from torch import nn

from models import MODELS, Painter, create_model, model_config
from models.attention import BACKENDS, attend
from models.vit import absolute_position, attend_in_windows, relative_table, share_query

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
    (b, n, length, d), w = q.shape, len(col_table)
    scores = torch.empty(b, n, length, length, dtype=q.dtype)
    for i in range(length):
        for j in range(length):
            bias = row_table[i // w, j // w] + col_table[i % w, j % w]
            scores[:, :, i, j] = (q[:, :, i] * k[:, :, j]).sum(-1) / d**0.5 + q[:, :, i] @ bias
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_equals_the_formula_with_gradients(backend):
    g = torch.Generator().manual_seed(0)
    h, w, d = 3, 2, 4
    inputs = [
        torch.randn(*shape, generator=g, dtype=torch.float64, requires_grad=True)
        for shape in [(2, 2, h * w, d)] * 3 + [(h, h, d), (w, w, d)]
    ]
    found, expected = attend(*inputs, backend=backend), attention_by_hand(*inputs)
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad(found.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_back_ends_paint_alike():
    reference, *others = (tiny(attention=backend)(*canvases()) for backend in BACKENDS)
    for pred in others:
        torch.testing.assert_close(pred, reference, rtol=1e-4, atol=1e-5)


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


def test_activation_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = tiny(checkpointing=checkpointing, drop_path_rate=0.5).train()
        torch.manual_seed(3)
        model(*canvases()).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


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
