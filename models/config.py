"""All that shapes the network, checked."""

import math
from dataclasses import dataclass
from typing import Literal

from models.attention import Choice


@dataclass(frozen=True)
class PainterConfig:
    """All that shapes the network; the defaults are the released ViT-L."""

    img_size: tuple[int, int] = (896, 448)
    """canvas height and width in pixels; sets the size of the relative-position tables"""
    patch_size: int = 16
    embed_dim: int = 1024
    depth: int = 24
    """blocks, a multiple of 4: the head reads the features at the quarters"""
    num_heads: int = 16
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    """stochastic depth of the last block, growing linearly from 0"""
    window_size: int = 0
    """side of an attention window in tokens, for the blocks in window_blocks"""
    window_blocks: tuple[int, ...] = ()
    """blocks that attend inside windows; none as released, in spite of the model's name"""
    merge_after: int | None = 2
    """block after which image and target tokens are averaged; None: joint attention over both, no merge"""
    head: Literal["light", "linear"] = "light"
    """light: linear, 3x3 convolution, 1x1 convolution; linear: one layer (paper, Table S2)"""
    decoder_embed_dim: int = 64
    pretrain_img_size: int = 224
    """image side of the pre-training that pos_embed comes from"""
    type_tokens: bool = False
    """SegGPT: a learned token says whether the task is semantic (0) or instance (1) segmentation"""
    attention: Choice = "auto"
    """which of the equal ways to compute attention; auto: by device, and whether there are gradients"""
    checkpointing: Literal["auto", "none", "selective", "full"] = "auto"
    """what the backward pass computes again: nothing, all but matrix products and attention, or all of each block, for
    less memory and up to a third more time; auto: as memory requires, where the engine trains, else nothing"""

    def __post_init__(self) -> None:
        if isinstance(self.checkpointing, bool):  # of checkpoints before there was a choice
            object.__setattr__(self, "checkpointing", "full" if self.checkpointing else "none")
        for name in ("patch_size", "embed_dim", "depth", "num_heads", "decoder_embed_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} {getattr(self, name)} must be 1 or more")
        if not (0 <= self.drop_path_rate < 1 and 0 < self.mlp_ratio < math.inf):
            raise ValueError(
                f"model.drop_path_rate {self.drop_path_rate} must be 0 or more and below 1, "
                f"model.mlp_ratio {self.mlp_ratio} above 0"
            )
        if self.pretrain_img_size < self.patch_size:
            raise ValueError(
                f"pretrain_img_size {self.pretrain_img_size} must be at least patch_size {self.patch_size}"
            )
        if self.depth % 4:
            raise ValueError(
                f"model depth {self.depth} must be a multiple of 4: the head reads features at the quarters"
            )
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} must be a multiple of num_heads {self.num_heads}")
        if any(side < 1 or side % self.patch_size for side in self.img_size):
            raise ValueError(f"img_size {self.img_size} must be a multiple of patch_size {self.patch_size}")
        if self.grid[0] % 2:
            raise ValueError(
                f"img_size {self.img_size}: half its height must be a multiple of patch_size {self.patch_size}"
            )
        if self.window_blocks and self.window_size < 1:
            raise ValueError("window_blocks are given but window_size is 0; set window_size to tokens a side")
        if not all(0 <= i < self.depth for i in self.window_blocks):
            raise ValueError(f"window_blocks {self.window_blocks} must lie in 0..{self.depth - 1}")
        if self.merge_after is not None and not 0 <= self.merge_after < self.depth:
            raise ValueError(f"merge_after {self.merge_after} must lie in 0..{self.depth - 1}, or be None")

    @property
    def grid(self) -> tuple[int, int]:
        """The canvas in tokens, (h, w)."""
        return self.img_size[0] // self.patch_size, self.img_size[1] // self.patch_size
