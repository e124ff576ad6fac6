"""Attention with decomposed relative position: one function, interchangeable back ends.

Shapes: B batch, n heads, L = h * w tokens of a grid, d channels of a head. The bias a query gives to a
key is q . row_table[qy, ky] + q . col_table[qx, kx], with the query *not* scaled by 1 / sqrt(d).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Backend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, row_table: Tensor, col_table: Tensor, backend: str) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v for q, k, v (B, n, L, d), tables [query, key] (h, h, d) and (w, w, d).

    Queries may be fewer: r rows of the grid, q (B, n, r * w, d), with the row table's (r, h, d).
    """
    grid = (len(row_table), len(col_table))
    by_row = torch.einsum("bnhwd,hkd->bnhwk", q.unflatten(2, grid), row_table).flatten(2, 3)  # (B, n, r * w, h)
    by_col = torch.einsum("bnhwd,wkd->bnhwk", q.unflatten(2, grid), col_table).flatten(2, 3)  # (B, n, r * w, w)
    return BACKENDS[backend](q, k, v, by_row, by_col)


def explicit(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """Every score written out, as in the formula: the oracle of the other back ends."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + _dense(by_row, by_col)
    return scores.softmax(dim=-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """PyTorch's fused attention with the bias as its mask."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_dense(by_row, by_col))


def _dense(by_row: Tensor, by_col: Tensor) -> Tensor:
    """The bias of every query to every key, (B, n, r * w, L)."""
    return (by_row[..., :, None] + by_col[..., None, :]).flatten(-2)


BACKENDS: dict[str, Backend] = {"explicit": explicit, "sdpa": sdpa}
