"""Products of float32 matrices on a CPU, without gradients, by oneDNN, as PyTorch computes those of bf16.

PyTorch gives them to MKL, which takes twice as long on CPUs that are not Intel's.
"""

import torch
from torch import Tensor, nn


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias of x (..., c) and weight (s, c): by oneDNN where it applies."""
    if not _applies(x) or weight.dtype != torch.float32:
        return nn.functional.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _applies(x: Tensor) -> bool:
    is_plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return is_plain and not torch.is_grad_enabled() and not torch.compiler.is_compiling() and _is_there()


def _is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDnnLinear(nn.Linear):
    """As nn.Linear, by `product`."""

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight, self.bias)
