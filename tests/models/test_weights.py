"""Weight files: what is read, what is refused and in which words, and what a MAE file may lack or bring."""

import argparse
import os
import pickle
import re
import sys
import traceback
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models import Painter, PainterConfig
from models.weights import at_canvas_of, init_from_mae, load_strict, read_mae, read_weights

DIM, DEPTH = 8, 2


def leaf(**shapes: tuple[int, ...]) -> nn.Module:
    module = nn.Module()
    for name, shape in shapes.items():
        module.register_parameter(name, nn.Parameter(torch.randn(shape)))
    return module


def block() -> nn.Module:
    module, module.attn, module.mlp = nn.Module(), leaf(rel_pos_h=(7, 4), rel_pos_w=(3, 4)), nn.Module()
    module.attn.qkv, module.attn.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
    module.norm1, module.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
    module.mlp.fc1, module.mlp.fc2 = nn.Linear(DIM, 16), nn.Linear(16, DIM)
    return module


def painter(seed: int = 0) -> nn.Module:
    """A module tree with the names of Painter's state dict."""
    torch.manual_seed(seed)
    token = (1, 1, 1, DIM)
    model = leaf(mask_token=token, segment_token_x=token, segment_token_y=token, pos_embed=(1, 5, DIM))
    model.patch_embed = nn.Module()
    model.patch_embed.proj = nn.Conv2d(3, DIM, 2)
    model.blocks = nn.ModuleList(block() for _ in range(DEPTH))
    model.norm = nn.LayerNorm(DIM)
    model.decoder_embed = nn.Linear(4 * DIM, 12)
    model.decoder_pred = nn.Sequential(nn.Conv2d(3, 3, 3), nn.LayerNorm(3), nn.GELU(), nn.Conv2d(3, 3, 1))
    return model


def is_new(name: str) -> bool:
    return name.startswith(("mask_token", "segment_token", "decoder_")) or "rel_pos" in name


def mae_encoder() -> dict[str, Tensor]:
    encoder = {name: value for name, value in painter(seed=1).state_dict().items() if not is_new(name)}
    return {"cls_token": torch.randn(1, 1, DIM), **encoder}


def without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in mae_encoder().items() if key != name}


def mae_full() -> dict[str, Tensor]:
    """The decoder of MAE: some of its names, and here even one shape, are those of Painter's decoder."""
    return mae_encoder() | {
        "mask_token": torch.randn(1, 1, 4),
        "decoder_pos_embed": torch.randn(1, 5, 4),
        "decoder_embed.weight": torch.randn(12, 4 * DIM),
        "decoder_embed.bias": torch.randn(4),
        "decoder_blocks.0.norm1.weight": torch.randn(4),
        "decoder_norm.weight": torch.randn(4),
        "decoder_pred.weight": torch.randn(12, 4),
        "decoder_pred.bias": torch.randn(12),
    }


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def sentence(kind: type[Exception], path: Path | str) -> str:
    """The message of the error that reading `path` raises: one line, with the path in front."""
    with pytest.raises(kind) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "Weights only load failed" not in "".join(traceback.format_exception(caught.value))
    return message


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return copy_of(painter(seed=1))


class Evil:
    """Unpickled without care, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class Custom:
    pass


# read_weights: what is accepted


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".PTH"])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("is_bare", [True, False], ids=["bare", "released"])
def test_reads_a_state_dict(tmp_path, weights, suffix, is_zip, is_bare):
    path = tmp_path / f"w{suffix}"
    content = weights if is_bare else {"model": weights}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert same(read_weights(path), weights)
    assert same(read_weights(str(path)), weights)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_reads_the_model_of_a_training_checkpoint(tmp_path, is_zip):
    model = painter()
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "scaler": {"scale": 65536.0, "_growth_tracker": 1},
        "args": argparse.Namespace(lr=1e-3, resume="", betas=(0.9, 0.999), distributed=False),
    }
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    assert same(read_weights(tmp_path / "w.pth"), model.state_dict())


def test_namespace_is_allowed_only_while_reading(tmp_path):
    torch.save({"model": {"a": torch.ones(1)}, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    read_weights(tmp_path / "w.pth")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("name", ["w.safetensors", "w.SAFETENSORS"])
def test_reads_safetensors(tmp_path, weights, name):
    save_file(weights, tmp_path / name)
    assert same(dict(sorted(read_weights(tmp_path / name).items())), dict(sorted(weights.items())))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_file_fills_a_float32_model(tmp_path, weights, suffix, dtype):
    half = {name: value.to(dtype) for name, value in weights.items()}
    path = tmp_path / f"w{suffix}"
    save_file(half, path) if suffix == ".safetensors" else torch.save({"model": half}, path)
    model = painter()
    load_strict(model, read_weights(path), "w")
    assert same(model.state_dict(), {name: value.float() for name, value in half.items()})


# read_weights: what is refused


def test_missing_file(tmp_path):
    assert "does not exist: check the path" in sentence(ValueError, tmp_path / "w.pth")


def test_directory(tmp_path):
    assert "is a directory: give the path of the weights file" in sentence(ValueError, tmp_path)


def test_forbidden_file(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "give it read permission" in sentence(ValueError, tmp_path / "w.pth")


@pytest.mark.parametrize("part", [0.001, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_file(tmp_path, weights, kind, part):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"model": weights}, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    message = sentence(ValueError, path)
    assert re.search(r"cannot be read as weights \(.+\): it is cut short.* save it again", message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.ckpt", b"x", "unknown suffix: weights end in .safetensors, .pth"),
        ("w", b"x", "unknown suffix: weights end in .safetensors, .pth"),
        ("w.pth", b"", "is empty (0 bytes): download or save it again"),
        ("w.safetensors", b"", "is empty (0 bytes): download or save it again"),
        ("w.pth", b"<!DOCTYPE html>", "of another kind, so download or save it again"),
        ("w.safetensors", b"<!DOCTYPE html>", "of another kind, so download or save it again"),
        ("w.pth", b"PK\3\4", "of another kind, so download or save it again"),
        ("w.pth", bytes(64), "of another kind, so download or save it again"),
    ],
)
def test_not_a_weights_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in sentence(ValueError, tmp_path / name)


def test_safetensors_with_a_corrupt_header(tmp_path, weights):
    path = tmp_path / "w.safetensors"
    save_file(weights, path)
    path.write_bytes(path.read_bytes().replace(b'"dtype"', b'"dtipe"', 1))
    assert "SafetensorError('Error while deserializing header" in sentence(ValueError, path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_malicious_checkpoint_is_refused_and_not_run(tmp_path, weights, is_zip):
    trap, path = tmp_path / "trap", tmp_path / "w.pth"
    torch.save({"model": weights, "evil": Evil(trap)}, path, _use_new_zipfile_serialization=is_zip)
    message = sentence(ValueError, path)
    assert f"wants to import or run {os.mkdir.__module__}.mkdir and is refused for safety" in message
    assert 'only its tensors again, as {"model": state_dict} or as .safetensors' in message
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_bare_pickle_is_not_run(tmp_path, protocol):
    trap, path = tmp_path / "trap", tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(Evil(trap), protocol=protocol))
    sentence(ValueError, path)
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists()  # the trap does work


def test_trap_inside_an_allowed_namespace_is_refused_and_not_run(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "w.pth"
    torch.save({"model": {"a": torch.ones(1)}, "args": argparse.Namespace(evil=Evil(trap))}, path)
    assert "is refused for safety" in sentence(ValueError, path)
    assert not trap.exists()


@pytest.mark.parametrize(("value", "code"), [(Custom(), "Custom"), (nn.Linear(1, 1), "Linear"), (eval, "eval")])
def test_class_beside_the_weights_is_refused_by_name(tmp_path, value, code):
    torch.save({"model": {"a": torch.ones(1)}, "beside": value}, tmp_path / "w.pth")
    message = sentence(ValueError, tmp_path / "w.pth")
    assert re.search(rf"import or run \S*{code} and is refused", message)


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"model": torch.ones(1)}, [torch.ones(1)], torch.ones(1), 3])
def test_no_named_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    assert 'holds no named tensors: save it again as {"model"' in sentence(ValueError, tmp_path / "w.pth")


def test_no_tensors_in_safetensors(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    assert "holds no named tensors" in sentence(ValueError, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"model": {"a": torch.ones(1), "b": 1, "c": [torch.ones(1)]}}, "b; c"),
        ({"optimizer": {}, "epoch": 3}, "optimizer; epoch"),
        ({"state_dict": {"a": torch.ones(1)}}, "state_dict"),
        ({str(i): i for i in range(12)}, "0; 1; 2; 3; 4; 5; 6; 7; 8; 9 ... and 2 more"),
    ],
)
def test_values_that_are_not_tensors(tmp_path, content, names):
    torch.save(content, tmp_path / "w.pth")
    message = sentence(ValueError, tmp_path / "w.pth")
    assert f"holds values that are no plain float tensors ({names}): save it again" in message


# load_strict


def test_load_strict_fills_the_model_with_copies(weights):
    model = painter()
    load_strict(model, weights, "w.pth")
    assert same(model.state_dict(), weights)
    weights["norm.bias"].add_(1)
    assert not torch.equal(model.norm.bias, weights["norm.bias"])


def test_load_strict_names_everything_and_changes_nothing(weights):
    del weights["norm.weight"], weights["blocks.0.attn.rel_pos_h"]
    weights |= {"head.weight": torch.ones(2), "cls_token": torch.ones(1)}
    weights |= {"pos_embed": torch.ones(1, 3, DIM), "decoder_embed.bias": torch.ones(7)}
    model = painter()
    before = copy_of(model)
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_strict(model, weights, "w.pth")
    assert str(caught.value).splitlines() == [
        "w.pth does not fit the model; it needs weights of the same architecture and size:",
        "  missing: blocks.0.attn.rel_pos_h; norm.weight",
        "  unexpected: head.weight; cls_token",
        "  mis-shaped: pos_embed found (1, 3, 8) expected (1, 5, 8); decoder_embed.bias found (7,) expected (12,)",
    ]
    assert same(model.state_dict(), before)


def test_load_strict_shows_the_first_ten_of_a_kind(weights):
    extra = {f"x{i}": torch.ones(1) for i in range(13)}
    with pytest.raises(ValueError, match=r":\n  unexpected: x0; .*; x9 \.\.\. and 3 more$"):
        load_strict(painter(), weights | extra, "w.pth")


# init_from_mae


@pytest.mark.parametrize("mae", [mae_encoder, mae_full], ids=["encoder", "full"])
def test_mae_fills_the_encoder_and_leaves_the_rest_fresh(mae):
    weights, model, fresh = mae(), painter(), copy_of(painter())
    init_from_mae(model, weights, "mae.pth")
    for name, value in model.state_dict().items():
        assert torch.equal(value, fresh[name] if is_new(name) else weights[name]), name


def test_mae_in_half_precision_and_without_class_token():
    model, half = painter(), {name: value.half() for name, value in without("cls_token").items()}
    init_from_mae(model, half, "mae.pth")
    assert torch.equal(model.pos_embed, half["pos_embed"].float())


def test_type_tokens_of_a_segmentation_variant_may_be_new():
    model = painter()
    for name in ("type_token_cls", "type_token_ins"):
        model.register_parameter(name, nn.Parameter(torch.ones(1, 1, 1, DIM)))
    init_from_mae(model, mae_encoder(), "mae.pth")
    assert torch.equal(model.type_token_cls, torch.ones(1, 1, 1, DIM))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (without("norm.bias"), "missing: norm.bias$"),
        (without("blocks.1.mlp.fc2.bias"), "missing: blocks.1.mlp.fc2.bias$"),
        (without("pos_embed"), "missing: pos_embed$"),
        (mae_encoder() | {"head.weight": torch.ones(1)}, "unexpected: head.weight$"),
        (mae_encoder() | {"fc_norm.bias": torch.ones(DIM)}, "unexpected: fc_norm.bias$"),
        (mae_encoder() | {"decoder_pred.weight": torch.ones(1)}, "unexpected: decoder_pred.weight$"),
        (mae_full() | {"decoder_head.weight": torch.ones(1)}, "unexpected: decoder_head.weight$"),
        (mae_full() | {"segment_token_x": torch.ones(1)}, "unexpected: segment_token_x$"),
        (mae_encoder() | {"pos_embed": torch.ones(1, 3, 8)}, r"mis-shaped: pos_embed found \(1, 3, 8\) "),
        (mae_encoder() | {"pos_embed": torch.ones(1, 8, 5)}, r"mis-shaped: pos_embed found \(1, 8, 5\) "),
    ],
)
def test_mae_that_does_not_fit_changes_nothing(weights, message):
    model = painter()
    before = copy_of(model)
    with pytest.raises(ValueError, match=message) as caught:
        init_from_mae(model, weights, "mae.pth")
    assert str(caught.value).startswith("mae.pth does not fit the model")
    assert same(model.state_dict(), before)


def test_painter_weights_are_no_mae_weights(weights):
    with pytest.raises(ValueError, match="unexpected: mask_token; segment_token_x; segment_token_y; blocks"):
        init_from_mae(painter(), weights, "painter.pth")


# read_mae


def fake_timm(monkeypatch, create_model) -> None:
    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))


def test_read_mae_from_a_file(tmp_path):
    torch.save({"model": mae_full()}, tmp_path / "mae.pth")
    assert sorted(read_mae(str(tmp_path / "mae.pth"))) == sorted(mae_full())


def test_read_mae_from_timm(monkeypatch):
    calls = []

    def create_model(name, **options):
        calls.append((name, options))
        return nn.Linear(2, 1)

    fake_timm(monkeypatch, create_model)
    assert list(read_mae("timm:vit_large_patch16_224.mae")) == ["weight", "bias"]
    assert calls == [("vit_large_patch16_224.mae", {"pretrained": True, "num_classes": 0})]


def test_timm_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"^timm:vit\.mae needs .*: pip install timm torchvision, or give"):
        read_mae("timm:vit.mae")


def test_timm_with_a_torchvision_of_another_torch(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"torchvision::nms does not exist.*: pip install timm torchvision"):
        read_mae("timm:vit.mae")


@pytest.mark.parametrize("error", [ConnectionError("no route to the hub"), RuntimeError("Unknown model")])
def test_timm_cannot_provide(monkeypatch, error):
    def create_model(name, **options):
        raise error

    fake_timm(monkeypatch, create_model)
    message = r"^timm cannot provide vit\.mae \(.+\): check the name.*its path$"
    with pytest.raises(ValueError, match=message) as caught:
        read_mae("timm:vit.mae")
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error


CANVASES = {"small": (64, 32), "large": (128, 64), "odd": (96, 80)}


@pytest.mark.parametrize("start", ["large", "odd"])
def test_weights_of_another_canvas_paint_a_canvas_as_they_did(start):
    """Attention resizes its offsets when it meets another canvas; loading does the same, once and for all."""
    torch.manual_seed(0)
    config = PainterConfig(img_size=CANVASES["small"], embed_dim=24, depth=4, num_heads=2, pretrain_img_size=32)
    small = Painter(config).eval()
    for parameter in small.parameters():
        nn.init.normal_(parameter, std=0.2)
    other = Painter(replace(config, img_size=CANVASES[start])).eval()
    load_strict(other, at_canvas_of(other, small.state_dict()), "small")
    image, target = torch.randn(2, 1, 3, *CANVASES[start])
    mask = torch.rand(1, *other.config.grid) < 0.5
    painted = small(image, target, mask)
    assert painted.std() > 0.1
    torch.testing.assert_close(other(image, target, mask), painted)


def test_other_heads_are_no_matter_of_the_canvas():
    config = PainterConfig(img_size=(64, 32), embed_dim=24, depth=4, num_heads=2, pretrain_img_size=32)
    other = Painter(replace(config, img_size=(128, 64), num_heads=4))
    with pytest.raises(ValueError, match=r"mis-shaped.*rel_pos_h found \(15, 12\) expected \(15, 6\)"):
        load_strict(other, at_canvas_of(other, Painter(config).state_dict()), "two heads")
