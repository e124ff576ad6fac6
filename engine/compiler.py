"""torch.compile of the network that trains; what is not training runs the same weights as they are written."""

import logging
import textwrap
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

logging.getLogger("torch._higher_order_ops.wrap").setLevel(logging.ERROR)  # it warns of checkpointing in any graph
HOW: dict[str, Any] = {"fullgraph": True, "dynamic": False, "options": {"fallback_random": True}}  # PyTorch's numbers


def compiled(model: nn.Module) -> nn.Module:
    """A network as one graph, made at its first call; weights are those of `model`, which itself stays as it is."""
    return cast(nn.Module, torch.compile(model, **HOW))


def compile_each(blocks: Sequence[nn.Module]) -> None:
    """In place, one by one: what happens between them, such as the exchange of their weights, is no part of a graph."""
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, 2 * len(blocks))  # they share one function
    for block in blocks:
        block.compile(**HOW)


def check_compiler(device: torch.device) -> None:
    """ValueError where nothing can be compiled."""
    try:
        torch.compile(torch.sin, **HOW)(torch.ones(8, device=device))
    except Exception as error:  # of many kinds, by what is missing
        reason = textwrap.shorten(str(error), 200)
        cure = "install g++ or clang, on a GPU also triton, or give --compile False"
        raise ValueError(f"compile needs a compiler that works, and found none ({reason}): {cure}") from None
