"""Products by oneDNN: as PyTorch's own, used where nothing else is asked for, and nowhere else."""

import copy
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models import onednn
from models.onednn import PackedLinear, product

ONEDNN = torch.ops.mkldnn._linear_pointwise.default


class Seen(TorchDispatchMode):
    """Which operations run inside."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations.append(function)
        return function(*args, **kwargs or {})

    def __enter__(self):
        self.operations = []
        return super().__enter__()


def matrices(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=g).to(dtype) for shape in [(2, 5, 7), (3, 7), (3,)]]


@pytest.mark.parametrize("has_bias", [True, False])
def test_products_are_those_of_pytorch(has_bias):
    x, weight, bias = matrices()
    bias = bias if has_bias else None
    with torch.no_grad(), Seen() as seen:
        found = product(x, weight, bias)
    assert ONEDNN in seen.operations
    torch.testing.assert_close(found, torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_go_the_usual_way(dtype):
    with torch.no_grad(), Seen() as seen:
        assert product(*matrices(dtype)).dtype == dtype
    assert ONEDNN not in seen.operations


def test_autocast_and_gradients_go_the_usual_way():
    x, weight, bias = matrices()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert product(x, weight, bias).dtype == torch.bfloat16
    weight.requires_grad_()
    product(x, weight, bias).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum((0, 1)).expand(3, -1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_a_packed_layer_is_a_linear_layer(dtype, tolerance):
    layer, x = PackedLinear(7, 3).to(dtype), matrices()[0]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16), Seen() as seen:
        found, expected = layer(x), torch.nn.Linear.forward(layer, x)
    assert ONEDNN in seen.operations
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_a_packed_layer_follows_its_weights_and_has_gradients():
    layer, x = PackedLinear(7, 3), matrices()[0]
    with torch.no_grad():
        layer(x)
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), torch.nn.Linear.forward(layer, x))
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum((0, 1)).expand(3, -1))
    assert layer.state_dict().keys() == {"weight", "bias"}


def test_a_packed_layer_may_be_copied_saved_and_given_other_weights():
    layer, x = PackedLinear(7, 3), matrices()[0]
    with torch.no_grad():
        layer(x)
        torch.testing.assert_close(pickle.loads(pickle.dumps(copy.deepcopy(layer)))(x), layer(x))
        layer.load_state_dict({"weight": torch.ones(3, 7), "bias": torch.zeros(3)}, assign=True)
        torch.testing.assert_close(layer(x), x.sum(-1, keepdim=True).expand(-1, -1, 3))
        assert layer.bfloat16()(x).dtype == torch.bfloat16


def test_processors_that_cannot_pack_bf16_multiply_it_as_pytorch_does(monkeypatch):
    monkeypatch.setattr(onednn, "_multiplies", lambda dtype: dtype == torch.float32)
    layer = PackedLinear(7, 3).bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), Seen() as seen:
        assert layer(matrices()[0]).dtype == torch.bfloat16
    assert ONEDNN not in seen.operations
