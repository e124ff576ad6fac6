"""One task alone (paper, Table 2, "separate training"): NYUv2 depth; other tasks by the lines below.

    torchrun --nproc_per_node 8 tools/train.py single_task --init_mae mae_pretrain_vit_large.pth

Time: not measured by us; a step is 256 samples x 4.7 TFLOP, up to a third more with checkpointing.
Expected: the paper's depth RMSE of separate training is .327; not yet reproduced by us.

The length is set in steps on purpose. "15 epochs" of the original on this list alone is a few hundred steps,
and does not converge.
"""

from pathlib import Path

from configs.sources import EIGHT_SOURCES
from engine.config import DataConfig, OptimConfig, RunConfig
from models import model_config

TASK = "nyuv2_depth"  # any name in configs/sources.py

config = RunConfig(
    model=model_config("painter_vit_large"),
    data=DataConfig(sources={TASK: EIGHT_SOURCES[TASK]}),
    optim=OptimConfig(steps=20_000, warmup=1_000, global_batch=256, lr=1.25e-4),
    out_dir=Path(f"runs/{TASK}"),
)
