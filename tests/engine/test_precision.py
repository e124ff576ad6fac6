"""Precisions: networks made for inference paint the same; the fastest precision is one that the device has."""

import copy

import pytest
import torch

from engine.precision import DTYPES, Precision, fastest_precision
from models import create_model
from models.onednn import PackedLinear


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_network_made_for_inference_paints_the_same(name):
    torch.manual_seed(0)
    model = create_model("painter_vit_tiny", img_size=(64, 32), depth=4).eval()
    images, targets, mask = torch.randn(1, 3, 64, 32), torch.randn(1, 3, 64, 32), torch.ones(1, 4, 2)
    precision = Precision(name, "cpu")
    fast = precision.for_inference(copy.deepcopy(model))
    with torch.inference_mode(), precision.autocast():
        expected, found = model(images, targets, mask), fast(images, targets, mask)
    assert (found - expected).norm() <= (5e-3 if name == "bf16" else 1e-6) * expected.norm()
    layer = fast.blocks[0].mlp.fc1
    assert isinstance(layer, PackedLinear)
    assert layer.weight.dtype == DTYPES[name]
    assert fast.norm.weight.dtype == torch.float32
    assert fast.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_bf16_is_for_processors_that_have_it(monkeypatch, avx512, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert fastest_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_older_gpus_compute_in_fp16(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert fastest_precision(torch.device("cuda")) == expected


def test_fp16_needs_a_gpu():
    with pytest.raises(ValueError, match="fp16 needs a GPU; give the precision bf16 or fp32"):
        Precision("fp16", "cpu")
