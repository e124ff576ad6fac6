"""The last part of the training of assets/painter_toy, on a canvas of 256 x 128; `make toy` runs all of it.

    torchrun --nproc_per_node 2 tools/train.py toy

Time: 27 minutes on two cores with bf16 instructions.
Expected: held-out PSNR in dB: depth 20.7, ADE20K 22.6, instances 16.7, COCO semantic 21.1, pose 18.2 (black: 19.7),
denoise 22.4, derain 20.0, enhance 22.0; assets/painter_toy/README.md has the data sets' own metrics.
"""

from dataclasses import replace
from pathlib import Path

from configs.toy_half import config as half

WEIGHTS = {  # less of what is learned by now
    **{"nyuv2_depth": 0.7, "ade20k_semantic": 0.7, "coco_instance": 2.0, "coco_semantic": 0.7, "coco_pose": 4.0},
    **{"denoise": 1.0, "derain": 1.0, "enhance": 0.4},
}

config = replace(
    half,
    model=replace(half.model, img_size=(256, 128)),
    data=replace(half.data, sources={name: replace(half.data.sources[name], weight=WEIGHTS[name]) for name in WEIGHTS}),
    optim=replace(half.optim, steps=4600, warmup=100, lr=3e-4, loss="l1l2"),
    log=replace(half.log, val_every=2750, save_every=500),
    init="runs/toy/full/last",
    out_dir=Path("runs/toy/run"),
)
