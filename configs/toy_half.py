"""First part of the training of assets/painter_toy: its network on a canvas of half the size; configs/toy.py goes on.

    torchrun --nproc_per_node 2 tools/train.py toy_half

Time: 44 minutes on two cores with bf16 instructions; a step on 256 x 128 takes more than three times as long.
Expected: held-out PSNR in dB: depth 19.8, ADE20K 19.2, instances 14.9, COCO semantic 17.8, pose 19.8 (black),
denoise 22.0, derain 18.7, enhance 21.1.
"""

from dataclasses import replace
from pathlib import Path

from configs.demo import config as demo
from configs.sources import weighted

WEIGHTS = {"coco_instance": 1.0, "coco_pose": 2.0}  # joints are learned last: most of their canvas is black

config = replace(
    demo,
    model=replace(
        demo.model, img_size=(128, 64), patch_size=8, embed_dim=256, depth=8, mlp_ratio=4.0, pretrain_img_size=64
    ),
    data=replace(
        demo.data,
        sources=weighted(demo.data.sources, WEIGHTS),
        roots=(Path("runs/toy/world"),),
    ),
    optim=replace(
        demo.optim, steps=9000, warmup=500, lr=4e-4, betas=(0.9, 0.999), global_batch=8, micro_batch=4, darkest=3.0
    ),
    log=replace(demo.log, every=100, val_every=2500, save_every=1000, keep=1),
    out_dir=Path("runs/toy/half"),
)
