"""The paper's run: ViT-L, eight sources, 54 000 steps of 2 048 samples, from MAE weights.

    NNODES=1 GPUS_PER_NODE=8 bash train_painter_vit_large.sh --init_mae mae_pretrain_vit_large.pth

Time: not measured by us; a step is 2 048 samples x 4.7 TFLOP, up to a third more with checkpointing.
Expected: the paper's Table 1: depth RMSE .288, ADE20K mIoU 49.9, COCO PQ 43.4, pose AP 72.1.
"""

from pathlib import Path

from configs.sources import EIGHT_SOURCES
from engine.config import DataConfig, RunConfig
from models import model_config

config = RunConfig(
    model=model_config("painter_vit_large"),
    data=DataConfig(sources=EIGHT_SOURCES),
    out_dir=Path("runs/painter_vit_large"),
)
