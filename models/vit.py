"""The plain vision transformer inside Painter: patches, blocks, relative position, optional windows.

Tokens keep their grid: (B, h, w, C). Module names are those of the released checkpoints.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Choice, attend
from models.onednn import state_of

Grid = tuple[int, int]  # (h, w) in tokens


class Memo(nn.Module):
    """What was last made of a parameter for some size, in evaluation without gradients; else it is made each time.

    Kept until the size changes, PyTorch notes a change of the parameter, or `train` or `eval` is called.
    """

    def __init__(self, make: Callable[[Tensor, Any], Tensor]) -> None:
        super().__init__()
        self.make = make
        self.made_for: tuple[Any, ...] | None = None
        self.made = torch.empty(0)

    def forward(self, parameter: Tensor, size: Any) -> Tensor:
        """make(parameter, size)"""
        is_fixed = not (self.training or torch.is_grad_enabled() or parameter.is_inference())
        if not is_fixed or torch.compiler.is_compiling():
            return self.make(parameter, size)
        key = size, *state_of(parameter)
        if key != self.made_for:
            self.made_for, self.made = key, self.make(parameter, size)
        return self.made

    def train(self, mode: bool = True) -> Self:
        """Forget: weights may have changed in ways that cannot be seen, as those that are shared out over ranks do."""
        self.made_for = None
        return super().train(mode)


class PatchEmbed(nn.Module):
    """(N, 3, H, W) pixels -> (N, h, w, C) tokens of non-overlapping patches."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Multi-head self-attention over a grid of tokens with decomposed relative position."""

    def __init__(self, dim: int, num_heads: int, grid: Grid, backend: Choice) -> None:
        super().__init__()
        self.num_heads, self.backend = num_heads, backend
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid[0] - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid[1] - 1, dim // num_heads))
        self.row_table, self.col_table = Memo(relative_table), Memo(relative_table)

    def forward(self, x: Tensor, top: int = 0) -> Tensor:
        """(B, h, w, C) -> what the rows from `top` on gather from all tokens, (B, h - top, w, C)."""
        h, w = x.shape[1:3]
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, h, w, 3, n, d)
        q, k, v = qkv.flatten(1, 2).permute(2, 0, 3, 1, 4)  # three of (B, n, L, d)
        rows, cols = self.row_table(self.rel_pos_h, h), self.col_table(self.rel_pos_w, w)
        out = attend(q[:, :, top * w :], k, v, rows[top:].to(q.dtype), cols.to(q.dtype), self.backend)
        return self.proj(out.transpose(1, 2).flatten(2).unflatten(1, (h - top, w)))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; `window` > 0 attends inside windows of that many tokens a side."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, drop_path: float, window: int, grid: Grid, backend: Choice
    ) -> None:
        super().__init__()
        self.window, self.drop_path = window, drop_path
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads, (window, window) if window else grid, backend)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, num_prompts: int = 1, top: int = 0) -> Tensor:
        """(B, h, w, C) -> its rows from `top` on; with several prompts a query, their queries are averaged (SegGPT)."""
        y, x = self.norm1(x), x[:, top:]
        start = 0 if num_prompts > 1 else top  # sharing takes the whole grid, and so do windows
        y = attend_in_windows(self.attn, y, self.window) if self.window else self.attn(y, start)
        if num_prompts > 1:
            y = share_query(y, num_prompts)
        x = x + self._drop(y[:, -x.shape[1] :]).to(x.dtype)  # a sum of two dtypes is slow on a CPU
        return x + self._drop(self.mlp(self.norm2(x))).to(x.dtype)

    def _drop(self, residual: Tensor) -> Tensor:
        """Stochastic depth: drop the whole residual of a sample, scale the others up."""
        if not self.training or self.drop_path == 0:
            return residual
        keep = torch.rand(len(residual), 1, 1, 1, device=residual.device) >= self.drop_path
        return residual * (keep / (1 - self.drop_path)).to(residual.dtype)


def relative_table(rel_pos: Tensor, size: int) -> Tensor:
    """(2S-1, d) offsets -> (size, size, d) table [query, key]; linearly resized first where S differs."""
    rel_pos = resampled(rel_pos, 2 * size - 1)
    index = torch.arange(size, device=rel_pos.device)
    return rel_pos[index[:, None] - index[None, :] + size - 1]


def resampled(rel_pos: Tensor, num: int) -> Tensor:
    """(N, d) offsets -> (num, d), linearly resized where N differs."""
    return rel_pos if len(rel_pos) == num else F.interpolate(rel_pos.T[None], size=num, mode="linear")[0].T


def absolute_position(pos_embed: Tensor, grid: Grid) -> Tensor:
    """(1, 1 + s*s, C) table of a square pre-training -> (1, h, w, C); the class slot is dropped."""
    pos = pos_embed[:, 1:]
    side = int(pos.shape[1] ** 0.5)
    pos = pos.unflatten(1, (side, side))
    if (side, side) == grid:
        return pos
    pos = F.interpolate(pos.permute(0, 3, 1, 2), size=grid, mode="bicubic", align_corners=False)
    return pos.permute(0, 2, 3, 1)


def attend_in_windows(attn: nn.Module, x: Tensor, window: int) -> Tensor:
    """Apply `attn` inside window x window squares; the grid is zero-padded to a multiple of the window."""
    b, h, w, c = x.shape
    x = F.pad(x, (0, 0, 0, -w % window, 0, -h % window))
    rows, cols = x.shape[1] // window, x.shape[2] // window
    x = x.view(b, rows, window, cols, window, c).transpose(2, 3).reshape(-1, window, window, c)
    x = attn(x).view(b, rows, cols, window, window, c).transpose(2, 3)
    return x.reshape(b, rows * window, cols * window, c)[:, :h, :w]


def share_query(x: Tensor, num_prompts: int) -> Tensor:
    """Replace the query (bottom) half of the tokens by its mean over a query's prompts.

    x is (B, h, w, C) with the prompts of one query next to each other in the batch: B = ... * num_prompts.
    """
    prompt, query = x.unflatten(0, (-1, num_prompts)).chunk(2, dim=2)
    query = query.mean(dim=1, keepdim=True).expand_as(query)
    return torch.cat((prompt, query), dim=2).flatten(0, 1)
