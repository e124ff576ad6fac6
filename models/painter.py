"""Painter: two canvases in (images, targets with a hidden part), the painted target canvas out.

Paper section 3.2. A canvas is a prompt pair's half above a query's half: (N, 3, H, W), H = 2 W as released.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from models.config import PainterConfig
from models.vit import Block, Memo, PatchEmbed, absolute_position

KEPT = [  # by selective checkpointing: what takes long to compute, and is small
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
]


class Painter(nn.Module):
    """ViT encoder with early merge of image and target tokens, and a light convolutional head."""

    def __init__(self, config: PainterConfig) -> None:
        super().__init__()
        self.config = config
        dim, (h, w) = config.embed_dim, config.grid
        grid = (h, w) if config.merge_after is not None else (h, 2 * w)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.segment_token_x = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.segment_token_y = nn.Parameter(torch.zeros(1, 1, 1, dim))
        if config.type_tokens:
            self.type_token_cls = nn.Parameter(torch.zeros(1, 1, 1, dim))
            self.type_token_ins = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (config.pretrain_img_size // config.patch_size) ** 2, dim))
        self.position = Memo(absolute_position)
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config.num_heads,
                config.mlp_ratio,
                drop_path=config.drop_path_rate * i / max(config.depth - 1, 1),
                window=config.window_size if i in config.window_blocks else 0,
                grid=grid,
                backend=config.attention,
            )
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed, self.decoder_pred = _head(config)
        self._init_weights()

    def forward(
        self,
        images: Tensor,
        targets: Tensor | Sequence[Tensor],
        mask: Tensor,
        token_type: int | Tensor = 0,
        num_prompts: int = 1,
        query_only: bool = False,
    ) -> Tensor:
        """Paint the hidden part of the target canvas; returns all of it, (N, 3, H, W), normalised.

        images, targets: (N, 3, H, W), ImageNet-normalised. mask: (N, h, w) token grid, non-zero = hidden.
        token_type: 0 semantic, 1 instance, or (N,) of them; for models with type tokens. num_prompts > 1: the
        feature ensemble (SegGPT); each run of num_prompts samples shows one query below different prompts.
        query_only: the bottom half alone, (N, 3, H / 2, W); equal, and what only the top half needs is not computed.
        Targets may also be what `target_states` has found of them, with `mask`: of all N, or of as many as a query
        has prompts, where these are the same for all queries.
        """
        half, patch = images.shape[2] // 2, self.config.patch_size
        top = (half - 1) // patch if query_only else 0  # the head's convolution sees one pixel above the half
        place = self._place(images, token_type)
        x = self.patch_embed(images) + self.segment_token_x + place
        known: Sequence[Tensor] | None = None
        if isinstance(targets, Tensor):
            y = self._embed_targets(targets, mask, place)
        else:
            y, known = targets[0], targets
        painted = self._run(self._paint, self._encode(x, y, known, num_prompts, top))
        return painted[:, :, half - top * patch :] if query_only else painted

    def target_states(
        self, targets: Tensor, mask: Tensor, token_type: int | Tensor = 0, num_prompts: int = 1
    ) -> list[Tensor]:
        """The tokens of target canvases after each block up to the merge, each (N, h, w, C): no image changes them.

        Arguments as of `forward`. For networks that merge.
        """
        assert self.config.merge_after is not None
        y, states = self._embed_targets(targets, mask, self._place(targets, token_type)), []
        for block in self.blocks[: self.config.merge_after + 1]:
            y = self._run(block, y, num_prompts)
            states.append(y)
        return states

    def _place(self, canvas: Tensor, token_type: int | Tensor) -> Tensor:
        """What tokens of both canvases get for their position and the type of the task, (1 or N, h, w, C)."""
        patch = self.config.patch_size
        place = self.position(self.pos_embed, (canvas.shape[2] // patch, canvas.shape[3] // patch))
        if self.config.type_tokens:
            place = place + torch.cat((self.type_token_cls, self.type_token_ins))[token_type]
        return place

    def _embed_targets(self, targets: Tensor, mask: Tensor, place: Tensor) -> Tensor:
        """Tokens (N, h, w, C); hidden ones are replaced before position is added."""
        y = self.patch_embed(targets)
        return torch.where(mask[..., None] != 0, self.mask_token.to(y.dtype), y) + self.segment_token_y + place

    def _encode(self, x: Tensor, y: Tensor, known: Sequence[Tensor] | None, num_prompts: int, top: int) -> Tensor:
        """Features (N, h - top, w, 4C): the normalised tokens, from row `top` on, after each quarter of the blocks.

        x: tokens of the image canvases. y: of the target canvases. known: the latter after each block up to the merge.
        """
        merge_after, quarter = self.config.merge_after, self.config.depth // 4
        rows, w = x.shape[1] - top, x.shape[2]
        x = torch.cat((x, y), dim=2) if merge_after is None else x  # side by side
        features = []
        for i, block in enumerate(self.blocks):
            is_early = merge_after is not None and i <= merge_after
            both = is_early and known is None
            x = self._run(block, torch.cat((x, y)) if both else x, num_prompts, top * (i + 1 == self.config.depth))
            if is_early:
                x, y = x.chunk(2) if known is None else (x, known[i])
            merged = _average(x, y) if is_early else x
            if i == merge_after:
                x = merged
            if (i + 1) % quarter == 0:
                features.append(self.norm(merged[:, -rows:, -w:]))
        return torch.cat(features, dim=-1)

    def _paint(self, features: Tensor) -> Tensor:
        """Features (N, h, w, 4C) -> (N, 3, H, W)."""
        return self.decoder_pred(_pixels(self.decoder_embed(features), self.config.patch_size))

    def _run(self, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """function(*inputs), of which the backward pass computes again what `checkpointing` says."""
        policy = self.config.checkpointing
        if policy in ("auto", "none") or not torch.is_grad_enabled():
            return function(*inputs)
        if policy == "full":
            return checkpoint(function, *inputs, use_reentrant=False)
        contexts = partial(create_selective_checkpoint_contexts, KEPT)
        return checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts)

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for name, parameter in self.named_parameters():
            if name.startswith(("mask_token", "segment_token", "type_token")):
                nn.init.normal_(parameter, std=0.02)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _head(config: PainterConfig) -> tuple[nn.Linear, nn.Module]:
    """Features -> the channels of each pixel of a patch, and channels -> colours."""
    linear = config.head == "linear"
    channels = 3 if linear else config.decoder_embed_dim
    embed = nn.Linear(4 * config.embed_dim, config.patch_size**2 * channels)
    if linear:
        return embed, nn.Identity()
    return embed, nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        ChannelNorm(channels, eps=1e-6),
        nn.GELU(),
        nn.Conv2d(channels, 3, 1),
    )


def _pixels(tokens: Tensor, patch: int) -> Tensor:
    """(N, h, w, p*p*c) -> (N, c, h*p, w*p), the channels of a pixel next to each other in memory."""
    n, h, w, _ = tokens.shape
    pixels = tokens.view(n, h, w, patch, patch, -1).transpose(2, 3).reshape(n, h * patch, w * patch, -1)
    return pixels.permute(0, 3, 1, 2)


def _average(images: Tensor, targets: Tensor) -> Tensor:
    """Early merge of tokens (N, h, w, C); those of targets may be of more rows, and of one query's prompts alone."""
    targets = targets[:, -images.shape[1] :]
    return (images.unflatten(0, (-1, len(targets))) + targets).flatten(0, 1) * 0.5
