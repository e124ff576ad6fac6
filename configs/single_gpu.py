"""The eight sources on one GPU: ViT-L with a batch of 64 and the learning rate scaled to it.

    python tools/train.py single_gpu --init_mae mae_pretrain_vit_large.pth

Time: not measured by us; a step is 64 samples x 4.7 TFLOP, up to a third more with checkpointing.
Expected: no published number; the samples seen are 1/32 of the paper's run.

With less memory: --optim.micro_batch 1; with more: 16. What is computed again to save memory follows by itself.
"""

from pathlib import Path

from configs.sources import EIGHT_SOURCES
from engine.config import DataConfig, OptimConfig, RunConfig
from models import model_config

config = RunConfig(
    model=model_config("painter_vit_large"),
    data=DataConfig(sources=EIGHT_SOURCES),
    optim=OptimConfig(global_batch=64, micro_batch=4, lr=1e-3 * 64 / 2048),
    out_dir=Path("runs/single_gpu"),
)
