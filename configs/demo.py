"""The paper's eight tasks on the toy world, on the CPU: what `make demo-train` runs.

    python tools/make_toy_datasets.py demo/data
    python tools/prepare.py all --root demo/data
    python tools/train.py demo

Time: about six and a half minutes on two cores with bf16 instructions; 1.7 times that in fp32 (of 120 steps).
Expected: held-out PSNR in dB, in two runs of two seeds, beside copying the input and the best of one colour:
depth 17.5, 17.8 (14.3, 16.0), ADE20K 17.7, 17.6 (6.1, 14.9), instances 15.4, 14.7 (6.8, 14.3), COCO semantic 17.6, 17.2
(9.7, 13.5), pose 16.4, 17.0 (7.8, 17.5), denoise 20.1, 20.7 (20.7, 13.3), derain 16.6, 16.6 (15.7, 13.0), enhance 19.0,
20.2 (8.7, 13.2): every task is begun, none is done; pose is not even trained, as its prompts are darker here
than `optim.darkest`. At a learning rate of 1.5e-3, gradients clipped at 3, runs that
differed by rounding alone ended some dB apart.

Chosen to learn fast from nothing, unlike the paper's: small canvases, patches of 4, one linear layer as head,
merge after the first block, always the query half hidden, gentle crops and no jitter.
"""

from dataclasses import replace
from pathlib import Path

from configs.sources import EIGHT_SOURCES
from data.pair_dataset import MaskConfig
from data.tasks import Interp
from data.transforms import AugmentConfig
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig
from models import PainterConfig

WEIGHTS = {"coco_instance": 0.5}  # its pairs take longest to load: they are painted at 1024 x 1024
INTERP: dict[str, Interp] = {"denoise": "bicubic", "derain": "bicubic", "enhance": "bicubic"}

config = RunConfig(
    model=PainterConfig(
        img_size=(96, 48),
        patch_size=4,
        embed_dim=128,
        depth=4,
        num_heads=4,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        merge_after=0,
        head="linear",
        pretrain_img_size=48,
    ),
    data=DataConfig(
        sources={
            name: replace(source, weight=WEIGHTS.get(name, 1.0), target_interp=INTERP.get(name))
            for name, source in EIGHT_SOURCES.items()
        },
        roots=(Path("demo/data"),),
        mask=MaskConfig(half_ratio=1.0),
        augment=AugmentConfig(crop_scale=(0.6, 1.0), jitter=0.0),
        num_workers=1,
    ),
    optim=OptimConfig(
        steps=4000,
        warmup=400,
        lr=1e-3,
        betas=(0.9, 0.99),
        weight_decay=0.05,
        layer_decay=1.0,
        clip_grad=1.0,
        global_batch=4,
        micro_batch=4,
        precision="bf16",
    ),
    log=LogConfig(every=25, val_every=10_000, save_every=500, pictures=6),
    out_dir=Path("demo/run"),
    device="cpu",
)
