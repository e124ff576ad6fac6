"""How much memory a run takes, and which way of checkpointing fits into what is free."""

import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from engine.config import RunConfig
from engine.cost import StepCost, Way, sample_cost
from models import PainterConfig
from util.dist import World, on_main

WAYS: tuple[Way, ...] = ("none", "selective", "full")  # from the fastest to the smallest
SHARE = 0.9  # of what is free; temporary buffers take some of the rest
GROUP = Path("/sys/fs/cgroup")
COPIES = 3  # of the pixels' channels that the head makes at once
STATE_BYTES = 16  # of a parameter that learns: weight, gradient and AdamW's two moments in fp32
FROZEN_BYTES = 4  # of one that does not


def fit(config: RunConfig, world: World) -> StepCost:
    """What a sample costs by the run's way of checkpointing: of auto, the first that fits, or else the last.

    Rank 0 decides for all.
    """
    return on_main(lambda: _fit(config, world))


def _fit(config: RunConfig, world: World) -> StepCost:
    named, room = config.model.checkpointing, SHARE * free_memory(world)
    for way in WAYS if named == "auto" else (named,):
        network, optim = replace(config.model, checkpointing=way), config.optim
        cost = sample_cost(network, optim.precision, world.device, optim.learn)
        if state_bytes(config, world, cost) + activation_bytes(config, cost) <= room:
            break
    return cost


def state_bytes(config: RunConfig, world: World, cost: StepCost) -> float:
    """Weights, gradients and moments of one rank."""
    learning = (cost.num_parameters - cost.num_frozen) * STATE_BYTES
    return (learning + cost.num_frozen * FROZEN_BYTES) / (world.size if config.parallel == "fsdp" else 1)


def activation_bytes(config: RunConfig, cost: StepCost) -> int:
    """What a forward pass of one rank keeps for its backward pass."""
    return cost.shared_bytes + config.optim.micro_batch * cost.saved_bytes


def check_canvases(config: PainterConfig, size: tuple[int, int], num: int, device: torch.device) -> None:
    """ValueError unless `num` canvases of twice `size` (H, W) fit into the free memory at once, to infer in float32."""
    needed, room = num * inference_bytes(config, size), SHARE * free_memory(World(0, 1, 1, device))
    if needed > room:
        fewer = int(room * num / needed)
        cure = f"give {fewer} or fewer, or a spatial ensemble" if fewer else "give a smaller size"
        raise ValueError(
            f"{num} prompt{'s' * (num > 1)} of {size[1]} x {size[0]} pixels need about {needed / 1e9:.1f} GB, "
            f"and {room / 1e9:.1f} GB are free: {cure}"
        )


def inference_bytes(config: PainterConfig, size: tuple[int, int]) -> int:
    """What a canvas of twice `size` (H, W) takes at most while it is painted: in the blocks, or in the head."""
    pixels = 2 * size[0] * size[1]
    head = pixels * (config.decoder_embed_dim if config.head == "light" else 3) * COPIES
    blocks = pixels // config.patch_size**2 * config.embed_dim * (2 * (4 + config.mlp_ratio) + 6)
    return 4 * int(max(head, blocks))


def free_memory(world: World) -> float:
    """Bytes that one rank may take: of its GPU, or its share of what this machine has left."""
    if world.device.type == "cuda":
        kept = torch.cuda.memory_reserved(world.device) - torch.cuda.memory_allocated(world.device)
        return torch.cuda.mem_get_info(world.device)[0] + kept  # which PyTorch holds for what comes
    return _free_on_host() / world.local_size


def _free_on_host() -> int:
    facts = Path("/proc/meminfo")
    known = re.search(r"MemAvailable: *(\d+) kB", facts.read_text()) if facts.exists() else None
    free = int(known[1]) * 1024 if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(free, _free_in_container(free))


def _free_in_container(free: int) -> int:
    """What the limit of this control group leaves, `free` if it has none."""
    try:
        limit, used = ((GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return int(limit) - int(used) + _reclaimable() if limit.isdigit() else free


def _reclaimable() -> int:
    """Bytes of files that the kernel keeps in this control group until somebody needs the room."""
    facts = GROUP / "memory.stat"
    known = re.search(r"^inactive_file (\d+)$", facts.read_text(), re.MULTILINE) if facts.is_file() else None
    return int(known[1]) if known else 0


def ran_out(error: Exception) -> bool:
    """Whether memory was wanting, of a GPU or of the host."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
