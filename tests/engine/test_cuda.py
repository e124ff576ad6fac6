"""On a GPU: the same network, and every precision trains."""

import json
from dataclasses import replace

import pytest
import torch

from engine import train
from engine.train import run
from models import create_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")


def test_cuda_paints_as_the_cpu_does():
    model = create_model("painter_vit_tiny", img_size=(128, 64)).eval()
    images, targets, mask = torch.randn(2, 3, 128, 64), torch.randn(2, 3, 128, 64), torch.rand(2, 8, 4) < 0.5
    with torch.no_grad():
        expected = model(images, targets, mask)
        found = model.cuda()(images.cuda(), targets.cuda(), mask.cuda()).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.05), ("fp16", 0.05)])
def test_every_precision_trains_and_resumes(config, tmp_path, precision, tolerance):
    """Without dropped paths, whose random numbers differ between devices."""
    config = replace(config, model=replace(config.model, drop_path_rate=0.0))
    run(config)
    cuda = replace(config, device="cuda", out_dir=tmp_path / "cuda", optim=replace(config.optim, precision=precision))
    run(replace(cuda, optim=replace(cuda.optim, steps=3)))
    run(cuda)
    first, second = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (config.out_dir, cuda.out_dir)
    )
    assert first[0]["train/loss"] == pytest.approx(second[0]["train/loss"], rel=tolerance)
    assert (second[0]["train/loss_scale"] > 1) == (precision == "fp16")


def test_no_step_waits_for_the_device(config, monkeypatch):
    """As PyTorch sees it; the outcome of a step is read by an event of its own."""
    step = train.Run.step

    def watched(self, batches):
        torch.cuda.set_sync_debug_mode("error" if self.state.step > 1 else "default")  # the first ones load libraries
        try:
            return step(self, batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(train.Run, "step", watched)
    for checkpointing in ("none", "selective"):
        model = replace(config.model, checkpointing=checkpointing)
        log = replace(config.log, every=5, save_every=100)
        run(replace(config, device="cuda", model=model, log=log, out_dir=config.out_dir / checkpointing))
