"""Linear layers and float32 products on a CPU, without gradients, by oneDNN, as PyTorch computes products of bf16.

PyTorch gives those of float32 to MKL, which takes twice as long on CPUs that are not Intel's; and it lays out weights
anew for each product, where a network that only infers may keep them as oneDNN wants them.
"""

import torch
from torch import Tensor, nn


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias of x (..., c) and weight (s, c): by oneDNN where it is faster."""
    is_plain = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not (is_plain and _applies(x)):
        return nn.functional.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _applies(x: Tensor) -> bool:
    is_inferring = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return is_inferring and x.device.type == "cpu" and _is_there()


def _is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Linear):
    """As nn.Linear; without gradients on a CPU in the weight's own precision, from a copy of it in oneDNN's layout."""

    packed, packed_for = torch.empty(0), -1

    def forward(self, x: Tensor) -> Tensor:
        if not _applies(x):
            return super().forward(x)
        if self.packed_for != self.weight._version:
            self.packed_for, self.packed = self.weight._version, torch.ops.mkldnn._reorder_linear_weight(self.weight)
        return torch.ops.mkldnn._linear_pointwise(x.to(self.weight.dtype), self.packed, self.bias, "none", [], "")
