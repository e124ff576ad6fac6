"""The last part of the training of assets/painter_toy: noise or rain, as the prompt says; `make toy` runs all of it.

    torchrun --nproc_per_node 2 tools/train.py toy_restore

Time: an hour on two cores with bf16 instructions, with `--compile True`, which takes a C++ compiler and saves a tenth.
Expected: held-out PSNR in dB: depth 21.0, ADE20K 24.4, instances 17.9, COCO semantic 22.7, pose 21.4 (black: 19.7),
denoise 24.0, derain 21.1, enhance 21.9, and rain that stays below a prompt for noise; assets/painter_toy/README.md has
the data sets' own metrics.
"""

from dataclasses import replace
from pathlib import Path

from configs.sources import weighted
from configs.toy import config as toy

WEIGHTS = {  # nine of twenty samples are noise or rain, three of ten joints; the rest keeps what is learned
    **{"nyuv2_depth": 0.5, "ade20k_semantic": 0.5, "coco_instance": 1.5, "coco_semantic": 0.5, "coco_pose": 4.0},
    **{"denoise": 3.0, "derain": 3.0, "enhance": 0.5},
}

config = replace(
    toy,
    data=replace(toy.data, sources=weighted(toy.data.sources, WEIGHTS)),
    optim=replace(toy.optim, steps=3200, warmup=100, lr=4e-4),
    log=replace(toy.log, val_every=3200),
    init="runs/toy/finish/last",
    out_dir=Path("runs/toy/restore"),
)
