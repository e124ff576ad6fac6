"""The main part of the training of assets/painter_toy, on a canvas of 256 x 128; configs/toy_joints.py goes on.

    torchrun --nproc_per_node 2 tools/train.py toy

Time: an hour and three quarters on two cores with bf16 instructions, beside other work.
Expected: held-out PSNR in dB: depth 21.3, ADE20K 23.6, instances 17.4, COCO semantic 22.1, pose 19.1 (black: 19.7),
denoise 22.7, derain 20.5, enhance 21.8.
"""

from dataclasses import replace
from pathlib import Path

from configs.sources import weighted
from configs.toy_half import config as half

WEIGHTS = {  # less of what is learned by now
    **{"nyuv2_depth": 0.7, "ade20k_semantic": 0.7, "coco_instance": 2.0, "coco_semantic": 0.7, "coco_pose": 4.0},
    **{"denoise": 1.0, "derain": 1.0, "enhance": 0.4},
}

config = replace(
    half,
    model=replace(half.model, img_size=(256, 128)),
    data=replace(half.data, sources=weighted(half.data.sources, WEIGHTS)),
    optim=replace(half.optim, steps=4600, warmup=100, lr=3e-4, loss="l1l2"),
    log=replace(half.log, val_every=2750, save_every=500),
    init="runs/toy/full/last",
    out_dir=Path("runs/toy/run"),
)
