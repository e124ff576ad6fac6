"""Four tasks on small real photographs, on the CPU: what `make demo` runs.

    python tools/make_demo_data.py; python tools/train.py demo

Time: about four minutes on two cores with bf16 instructions; twice that without.
Expected: held-out PSNR of about 21 dB (denoise; copying the input: 15.2), 20 dB (derain; 15.9) and 20 dB
(enhance; 7.3). Depth has one scene to learn from: 20 dB, better than copying (12.1) but not than one shade
of gray (24.0).

Chosen to learn fast from nothing, unlike the paper's: patches of 8, one linear layer as head, merge after the
first block, always the query half hidden, no crop and no jitter, since the data were cropped when made.
"""

from pathlib import Path

from data.pair_dataset import MaskConfig
from data.transforms import AugmentConfig
from engine.config import DataConfig, LogConfig, OptimConfig, RunConfig, Source
from models import PainterConfig

config = RunConfig(
    model=PainterConfig(
        img_size=(128, 64),
        patch_size=8,
        embed_dim=192,
        depth=4,
        num_heads=4,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        merge_after=0,
        head="linear",
        pretrain_img_size=64,
        attention="explicit",
    ),
    data=DataConfig(
        sources={
            "denoise": Source("denoise/denoise_ssid_train.json", 1.0, "denoise/denoise_ssid_val.json", "bicubic"),
            "derain": Source("derain/derain_train.json", 1.0, "derain/derain_val.json", "bicubic"),
            "enhance": Source(
                "light_enhance/enhance_lol_train.json", 1.0, "light_enhance/enhance_lol_val.json", "bicubic"
            ),
            "depth": Source(
                "nyu_depth_v2/nyuv2_train_image_depth.json", 1.0, "nyu_depth_v2/nyuv2_val_image_depth.json"
            ),
        },
        roots=(Path("demo/data"),),
        mask=MaskConfig(half_ratio=1.0),
        augment=AugmentConfig(crop_scale=(1.0, 1.0), jitter=0.0),
        num_workers=1,
    ),
    optim=OptimConfig(
        steps=2700,
        warmup=50,
        lr=1e-3,
        betas=(0.9, 0.99),
        weight_decay=0.05,
        layer_decay=1.0,
        global_batch=8,
        micro_batch=8,
        precision="bf16",
    ),
    log=LogConfig(every=25, val_every=10_000, save_every=10_000, pictures=6),
    out_dir=Path("demo/run"),
    device="cpu",
)
