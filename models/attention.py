"""Attention with decomposed relative position: one function, interchangeable back ends.

Shapes: B batch, n heads, L = h * w tokens of a grid, d channels of a head. The bias a query gives to a
key is q . row_table[qy, ky] + q . col_table[qx, kx], with the query *not* scaled by 1 / sqrt(d).
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from models.onednn import product

Name = Literal["explicit", "sdpa", "folded", "flex", "chunked"]
Choice = Literal["auto", Name]
Backend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]

CHUNK_BYTES = 2**21  # of the scores that `chunked` computes at once: they stay in a processor's cache


def attend(q: Tensor, k: Tensor, v: Tensor, row_table: Tensor, col_table: Tensor, backend: Choice = "auto") -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v for q, k, v (B, n, L, d), tables [query, key] (h, h, d) and (w, w, d).

    Queries may be fewer: r rows of the grid, q (B, n, r * w, d), with the row table's (r, h, d).
    """
    grid = (len(row_table), len(col_table))
    by_row = torch.einsum("bnhwd,hkd->bnhwk", q.unflatten(2, grid), row_table).flatten(2, 3)  # (B, n, r * w, h)
    by_col = torch.einsum("bnhwd,wkd->bnhwk", q.unflatten(2, grid), col_table).flatten(2, 3)  # (B, n, r * w, w)
    return BACKENDS[fastest(q) if backend == "auto" else backend](q, k, v, by_row, by_col)


def fastest(q: Tensor) -> Name:
    """The back end for such queries: on a GPU without scores in its memory; on a CPU by whether there are gradients."""
    if q.device.type != "cpu":
        return "folded"
    return "explicit" if q.requires_grad or torch.compiler.is_compiling() else "chunked"


def explicit(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """Every score written out, as in the formula: the oracle of the other back ends."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + _dense(by_row, by_col)
    return scores.softmax(dim=-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """PyTorch's fused attention with the bias as its mask."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_dense(by_row, by_col))


def folded(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """PyTorch's fused attention with h + w more channels, which are the bias; memory is linear in L."""
    d = q.shape[-1]
    q, k = _fold(q, k, by_row, by_col)
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, q.shape[-1] - d)), scale=1.0)[..., :d]


def flex(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """PyTorch's FlexAttention, whose compiled kernel looks the bias up; memory is linear in L. Trains on GPUs alone."""
    w, exact = by_col.shape[-1], torch.promote_types(q.dtype, torch.float32)
    by_row, by_col = by_row.to(exact), by_col.to(exact)  # their gradients are sums of many

    def add_bias(score: Tensor, b: Tensor, n: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + by_row[b, n, query, key // w] + by_col[b, n, query, key % w]

    return _flex_kernel(q)(q, k, v, score_mod=add_bias)


def _flex_kernel(q: Tensor) -> Callable[..., Any]:
    """Compiled, or to be compiled with what it is a part of; ValueError where there is none for such queries."""
    if q.requires_grad and q.device.type == "cpu":
        raise ValueError("attention flex has no gradients on the CPU; give model.attention auto")
    function: Callable[..., Any] = flex_attention
    return function if torch.compiler.is_compiling() else _compiled(function)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)


def chunked(q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_col: Tensor) -> Tensor:
    """A few scores at a time, of some heads and queries."""
    out = torch.empty_like(q)
    fold = q.dtype == torch.bfloat16  # where products cost less than sums
    q, k = _fold(q, k, by_row, by_col) if fold else (q * q.shape[-1] ** -0.5, k.contiguous())
    columns = v.transpose(-2, -1).contiguous()
    for heads, queries in _chunks(q, k):
        scores = _products(q[heads][:, queries], k[heads])
        if not fold:
            scores += _dense(by_row[heads][:, queries], by_col[heads][:, queries])
        out[heads][:, queries] = _products(scores.softmax(dim=-1), columns[heads])
    return out


def _products(a: Tensor, b: Tensor) -> Tensor:
    """a b^T of (n, r, c) and (n, s, c)."""
    return product(a, b[0]) if len(b) == 1 else a @ b.transpose(-2, -1)


def _chunks(q: Tensor, k: Tensor) -> Iterator[tuple[Any, slice]]:
    """Heads of one sample, and queries, whose scores fill a chunk."""
    num_heads, num_queries = q.shape[1:3]
    per_query = k.shape[2] * k.element_size()
    num_parts = math.ceil(num_queries * per_query / CHUNK_BYTES)
    at_once = math.ceil(num_queries / num_parts)
    heads = max(1, CHUNK_BYTES // (at_once * per_query))
    for sample in range(len(q)):
        for head in range(0, num_heads, heads):
            for query in range(0, num_queries, at_once):
                yield (sample, slice(head, head + heads)), slice(query, query + at_once)


def _fold(q: Tensor, k: Tensor, by_row: Tensor, by_col: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys of d + h + w channels or a few more, whose products are the scores with their bias.

    A key's further channels pick from a query's what it gives to the key's row and column.
    """
    h, w = by_row.shape[-1], by_col.shape[-1]
    row, col = (torch.eye(side, dtype=k.dtype, device=k.device) for side in (h, w))
    place = torch.cat((row.repeat_interleave(w, dim=0), col.repeat(h, 1)), dim=1)  # (L, h + w), one-hot
    spare = -(q.shape[-1] + h + w) % 8  # kernels take multiples of 8
    keys = torch.cat((k, F.pad(place, (0, spare)).expand(*k.shape[:2], -1, -1)), dim=-1)
    none = by_col.new_zeros(()).expand(*by_col.shape[:-1], spare)
    return torch.cat((q * q.shape[-1] ** -0.5, by_row, by_col, none), dim=-1), keys


def _dense(by_row: Tensor, by_col: Tensor) -> Tensor:
    """The bias of every query to every key, (..., r * w, L)."""
    return (by_row[..., :, None] + by_col[..., None, :]).flatten(-2)


BACKENDS: dict[Name, Backend] = {
    "explicit": explicit,
    "sdpa": sdpa,
    "folded": folded,
    "flex": flex,
    "chunked": chunked,
}
