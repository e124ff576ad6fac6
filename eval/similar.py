"""Which training images are most like the queries, as the network itself sees images."""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from data.prompt import stitch
from data.tasks import Size
from engine.inpaint import half
from engine.precision import Name, Precision
from models import Painter


def most_similar(candidates: Tensor, queries: Tensor) -> list[int]:
    """The places of candidates, features (N, C), by their mean cosine to those of queries (M, C), the nearest first.

    What all have in common is taken away before.
    """
    common = torch.cat((candidates, queries)).mean(dim=0)
    directions = (F.normalize(features - common, dim=1) for features in (candidates, queries))
    near = next(directions) @ next(directions).mean(dim=0)
    return near.argsort(descending=True, stable=True).tolist()


@torch.inference_mode()
def image_features(painter: Painter, image: Image.Image, size: Size, precision: Name = "fp32") -> Tensor:
    """What the head of the network reads of an image in both halves of a canvas, its labels hidden: mean over tokens.

    (4C,) on the CPU.
    """
    device, patch = painter.pos_embed.device, painter.config.patch_size
    prepared, seen = half(image, size)[None].to(device), list[Tensor]()
    canvas, mask = stitch(prepared, prepared), torch.ones(1, 2 * size[0] // patch, size[1] // patch, device=device)
    hook = painter.decoder_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with Precision(precision, device.type).autocast():
            painter(canvas, torch.zeros_like(canvas), mask)
    finally:
        hook.remove()
    return seen[0][0].float().mean(dim=(0, 1)).cpu()
