"""Linear layers and float32 products on a CPU, without gradients, by oneDNN, as PyTorch computes products of bf16.

PyTorch gives those of float32 to MKL, which takes twice as long on CPUs that are not Intel's; and it lays out weights
anew for each product, where a network that only infers may keep them as oneDNN wants them.
"""

from typing import Any

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


def _multiplies(dtype: torch.dtype) -> bool:
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Linear):
    """As nn.Linear; without gradients on a CPU in the weight's own precision, from a copy of it in oneDNN's layout."""

    packed: Tensor
    packed_for: tuple[Any, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not (_applies(x) and _multiplies(self.weight.dtype)):
            return super().forward(x)
        if self.packed_for != (state := state_of(self.weight)):
            self.packed_for, self.packed = state, torch.ops.mkldnn._reorder_linear_weight(self.weight)
        return torch.ops.mkldnn._linear_pointwise(x.to(self.weight.dtype), self.packed, self.bias, "none", [], "")

    def __getstate__(self) -> dict[str, Any]:
        """Without the copy, which cannot be copied or saved."""
        return {key: value for key, value in self.__dict__.items() if not key.startswith("packed")}


def state_of(parameter: Tensor) -> tuple[Any, ...]:
    """Another one when the parameter was changed, as far as PyTorch notes it."""
    return parameter.data_ptr(), parameter._version, parameter.dtype
