"""The sixth part of the training of assets/painter_toy: joints, noise and rain; configs/toy_restore.py goes on.

    torchrun --nproc_per_node 2 tools/train.py toy_finish

Time: two hours and a quarter on two cores with bf16 instructions, with `--compile True`, which takes a C++ compiler and
saves a tenth.
Expected: held-out PSNR in dB: depth 21.2, ADE20K 24.3, instances 17.9, COCO semantic 22.7, pose 21.1 (black: 19.7),
denoise 23.2, derain 21.3, enhance 22.5; assets/painter_toy/README.md has the data sets' own metrics.
"""

from dataclasses import replace
from pathlib import Path

from configs.sources import weighted
from configs.toy import config as toy

WEIGHTS = {  # what was not told apart yet: two of five samples are joints, one of three noise or rain
    **{"nyuv2_depth": 0.5, "ade20k_semantic": 0.5, "coco_instance": 1.5, "coco_semantic": 0.5, "coco_pose": 5.0},
    **{"denoise": 2.0, "derain": 2.0, "enhance": 0.5},
}

config = replace(
    toy,
    data=replace(toy.data, sources=weighted(toy.data.sources, WEIGHTS)),
    optim=replace(toy.optim, steps=5600, warmup=100, lr=4e-4),
    log=replace(toy.log, val_every=5600),
    init="runs/toy/joints/last",
    out_dir=Path("runs/toy/finish"),
)
