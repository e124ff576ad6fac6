"""A trained Painter on your own folder of images and labels, on one GPU or the CPU; docs/FINETUNE.md tells all of it.

    python tools/prepare.py own_classes --root my       # labels are class numbers; own_pictures: labels are pictures
    python tools/train.py finetune --data.roots my --init painter_vit_large.pth
    python tools/train.py finetune --data.roots my --init painter_vit_large.pth --optim.learn head --optim.lr 3e-4

Time: not measured by us; a step is 16 samples x 4.8 TFLOP, or 2.1 with the backbone frozen (`head`).
Expected: no published number. The shipped small network learns seven new classes of 120 images on the CPU in minutes:
mIoU 16 before, 77 with the backbone frozen, 85 in full.

The learning rate lies between the two ways to scale the paper's to a batch of 16, 1e-3 x 16 / 2048 and 1e-3 x (16 /
2048) ** 0.5; the head alone takes ten times that, the small one thirty times. The query half is always hidden, as in
use. No colour jitter: labels that are pictures may show the colours of the image.
"""

from pathlib import Path

from configs.sources import source
from data.pair_dataset import MaskConfig
from data.transforms import AugmentConfig
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig
from models import model_config

config = RunConfig(
    model=model_config("painter_vit_large"),
    data=DataConfig(
        sources={"own": source("own_classes")},  # own_pictures has the same lists
        roots=(Path("my"),),
        mask=MaskConfig(half_ratio=1.0),
        augment=AugmentConfig(crop_scale=(0.6, 1.0), jitter=0.0),
    ),
    optim=OptimConfig(
        steps=2_000, warmup=100, lr=3e-5, weight_decay=0.05, clip_grad=1.0, global_batch=16, micro_batch=4
    ),
    log=LogConfig(val_every=250, save_every=250, keep=1),
    init="painter_vit_large.pth",
    out_dir=Path("runs/finetune"),
)
