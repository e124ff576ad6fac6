"""The fifth part of the training of assets/painter_toy: joints most of all; configs/toy_finish.py goes on.

    torchrun --nproc_per_node 2 tools/train.py toy_joints

Time: fifty minutes on two cores with bf16 instructions, beside some other work.
Expected: held-out PSNR in dB: depth 20.9, ADE20K 23.6, instances 17.5, COCO semantic 22.0, pose 20.1 (black: 19.7),
denoise 21.8, derain 20.4, enhance 21.1.
"""

from dataclasses import replace
from pathlib import Path

from configs.sources import weighted
from configs.toy import config as toy

WEIGHTS = {  # three of five samples are joints, a few pixels of a canvas; the rest keeps what is learned
    **{"nyuv2_depth": 0.5, "ade20k_semantic": 0.5, "coco_instance": 2.0, "coco_semantic": 0.5, "coco_pose": 8.0},
    **{"denoise": 0.7, "derain": 1.0, "enhance": 0.3},
}

config = replace(
    toy,
    data=replace(toy.data, sources=weighted(toy.data.sources, WEIGHTS)),
    optim=replace(toy.optim, steps=2300, warmup=100, lr=4e-4),
    log=replace(toy.log, val_every=2300),
    init="runs/toy/run/last",
    out_dir=Path("runs/toy/joints"),
)
