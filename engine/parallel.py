"""One network on many ranks: whole on each (DDP), or its weights and optimiser state shared out (FSDP2)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from models import Painter
from util.dist import World


def parallelise(model: Painter, kind: Literal["ddp", "fsdp"], world: World) -> nn.Module:
    """What the ranks of a launch train on, whose forward is `model`'s; `model` itself where there was no launch.

    Every rank must come with the same weights. FSDP shares out the weights of `model` itself, block by block.
    Raises ValueError on FSDP without a launch.
    """
    if not dist.is_initialized():
        if kind == "fsdp":
            raise ValueError("parallel fsdp shares the network out over the ranks of a launch: start it by torchrun")
        return model
    if kind == "ddp":
        return DistributedDataParallel(model, gradient_as_bucket_view=True)
    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    return model


def exchange_gradients(model: nn.Module, now: bool) -> AbstractContextManager[None]:
    """For one backward pass: sum its gradients over the ranks, with those kept before, or keep them for a later one."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)
    elif isinstance(model, DistributedDataParallel) and not now:
        return model.no_sync()
    return nullcontext()


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Inside, every rank has all weights and may run `model` as often as it likes, without the others."""
    shares = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for share in shares:
        share.set_reshard_after_forward(False, recurse=False)
        share.unshard()
    try:
        yield
    finally:
        for share in shares:
            share.set_reshard_after_forward(share is not model, recurse=False)
            share.reshard()


def total(x: Tensor) -> Tensor:
    """The value of a tensor that may be shared out over the ranks."""
    return x.full_tensor() if isinstance(x, DTensor) else x
