"""torch.compile: whole graphs of every kind of network, and the numbers of the same training without it."""

from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from engine import compiler
from engine.compiler import check_compiler, compile_each, compiled
from engine.loss import Loss, masked_loss
from engine.train import run
from models import Painter, PainterConfig
from tests.engine.test_train import config_file, losses, with_optim

TINY = PainterConfig(
    img_size=(32, 16), patch_size=4, embed_dim=16, depth=4, num_heads=2, decoder_embed_dim=4, drop_path_rate=0.3
)
NETWORKS = {
    "none": replace(TINY, merge_after=None),
    "selective": replace(TINY, window_size=3, window_blocks=(0, 2)),
    "full": TINY,
}


@pytest.fixture(autouse=True)
def anew():
    """What was compiled before is forgotten."""
    torch._dynamo.reset()
    counters.clear()


@pytest.fixture
def quick(monkeypatch):
    """Graphs are made and differentiated as for the real compiler, and then run as they are."""
    monkeypatch.setattr(compiler, "HOW", {"fullgraph": True, "dynamic": False, "backend": "aot_eager"})


def three_losses(model, network):
    found = []
    for step in range(3):
        torch.manual_seed(step)
        images, targets = torch.randn(2, 2, 3, *TINY.img_size).unbind()
        mask = torch.rand(2, *TINY.grid) < 0.5
        weight = torch.full_like(targets, step + 1)
        loss = masked_loss(network(images, targets, mask), targets, mask, weight, Loss("l2"))
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.05 * parameter.grad
                parameter.grad = None
        found.append(loss.item())
    return found


def trainee(config):
    torch.manual_seed(0)
    return Painter(config).train()


@pytest.mark.parametrize("way", NETWORKS)
def test_every_network_is_one_graph_that_learns_the_same(quick, way):
    config = replace(NETWORKS[way], checkpointing=way)
    alone, model = trainee(config), trainee(config)
    expected = three_losses(alone, alone)
    assert three_losses(model, compiled(model)) == pytest.approx(expected, rel=1e-5)
    assert len(set(expected)) == 3
    assert counters["stats"]["unique_graphs"] == 1
    assert list(model.state_dict()) == list(alone.state_dict())


@torch.no_grad()
def test_many_blocks_are_compiled_one_by_one(quick):
    """Each drops paths at a rate of its own, and is a graph of its own."""
    model, images, mask = (
        trainee(replace(TINY, depth=12)),
        torch.randn(2, 3, *TINY.img_size),
        torch.zeros(2, *TINY.grid),
    )
    names, found = list(model.state_dict()), []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(model(images, images, mask))
        compile_each(list(model.blocks))
    torch.testing.assert_close(found[1], found[0])
    assert counters["stats"]["unique_graphs"] == 12
    assert list(model.state_dict()) == names


def test_a_compiled_run_is_the_run(config, tmp_path, quick):
    """With dropped paths, and a validation of batches of other sizes, which are not compiled."""
    config = with_optim(config, steps=3)
    run(config)
    other = replace(config, out_dir=tmp_path / "compiled", compile=True)
    results = run(other)
    assert losses(other.out_dir) == pytest.approx(losses(config.out_dir), rel=1e-5)
    assert results.keys() == {"derain", "depth"}
    assert counters["stats"]["unique_graphs"] == 2  # of the check, and the network


def test_the_real_compiler_draws_the_same_random_numbers():
    """A block alone: a network takes it a minute."""
    check_compiler(torch.device("cpu"))
    alone, block = (trainee(TINY).blocks[3] for _ in range(2))
    compile_each([block])
    x = torch.randn(32, 4, 2, 16)
    found = []
    for this in (alone, block):
        torch.manual_seed(1)
        out = this(x)
        out.square().sum().backward()
        found.append((out, this.mlp.fc1.weight.grad))
    assert (found[0][0] == x).flatten(1).all(1).any()  # a sample whose paths are all dropped
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


SCRIPT = """
import sys
from engine import compiler
from engine.load_config import load_config
from engine.train import run
from torch._dynamo.utils import counters

compiler.HOW = {"fullgraph": True, "dynamic": False, "backend": "aot_eager"}
run(load_config(sys.argv[1:2], ""))
print(f"{counters['stats']['unique_graphs']} graphs\\n", end="", flush=True)
"""


@pytest.mark.parametrize(("parallel", "graphs"), [("ddp", 1), ("fsdp", 4)])
def test_ranks_train_compiled(config, tmp_path, launch, parallel, graphs):
    """DDP compiles the whole network, FSDP each block; rank 0 also what shows that a compiler works."""
    config = replace(with_optim(config, steps=3), model=replace(config.model, checkpointing="selective"))
    run(config)
    (tmp_path / "script.py").write_text(SCRIPT)
    other = replace(config, out_dir=tmp_path / parallel, parallel=parallel, compile=True)
    told = launch(2, tmp_path / "script.py", config_file(other))
    assert losses(other.out_dir) == pytest.approx(losses(config.out_dir), rel=1e-5)
    assert all(f"{expected} graphs" in told for expected in (graphs, graphs + 1))


def test_no_compiler_is_one_sentence(monkeypatch):
    def fail(*_):
        raise RuntimeError("No working C++ compiler found in g++")

    monkeypatch.setattr(compiler, "HOW", {"backend": fail})
    with pytest.raises(ValueError, match=r"found none \(.*No working C\+\+ compiler.*\): install g\+\+") as caught:
        check_compiler(torch.device("cpu"))
    assert "\n" not in str(caught.value)
