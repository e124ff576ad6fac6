"""One network on many ranks: whole on each (DDP), or its weights and optimiser state shared out (FSDP2)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from engine.compiler import check_compiler, compile_each, compiled
from models import Painter
from util.dist import World, on_main


def parallelise(model: Painter, kind: Literal["ddp", "fsdp"], world: World, compiles: bool = False) -> nn.Module:
    """What the ranks of a launch train on, whose forward is `model`'s; `model` itself where there was no launch.

    Every rank must come with the same weights. FSDP shares out the weights of `model` itself, block by block, and
    these are what is compiled; else it is the whole.
    Raises ValueError on FSDP without a launch, and where compiling does not work.
    """
    if compiles:
        on_main(lambda: check_compiler(world.device))
    if not dist.is_initialized():
        if kind == "fsdp":
            raise ValueError("parallel fsdp shares the network out over the ranks of a launch: start it by torchrun")
        return compiled(model) if compiles else model
    if kind == "ddp":
        return DistributedDataParallel(compiled(model) if compiles else model, gradient_as_bucket_view=True)
    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    if compiles:
        compile_each(list(model.blocks))
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
    """Inside, every rank has all weights and may run `model` as often as it likes, without the others.

    What was compiled is run as it is written: batches there have many sizes.
    """
    shares = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for share in shares:
        share.set_reshard_after_forward(False, recurse=False)
        share.unshard()
    try:
        with torch.compiler.set_stance("force_eager") if shares else nullcontext():
            yield
    finally:
        for share in shares:
            share.set_reshard_after_forward(share is not model, recurse=False)
            share.reshard()


def total(x: Tensor) -> Tensor:
    """The value of a tensor that may be shared out over the ranks."""
    return x.full_tensor() if isinstance(x, DTensor) else x
