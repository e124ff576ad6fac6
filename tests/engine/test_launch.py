"""train_painter_vit_large.sh: it says what is unset, starts processes as asked, and ends them without a loss."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoint import LAST
from engine.config import RunConfig
from tests.engine.test_train import config_file, losses

REPOSITORY = Path(__file__).parents[2]
SCRIPT = "train_painter_vit_large.sh"
VARIABLES = ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "GPUS_PER_NODE", "RDZV", "RDZV_ID", "MAX_RESTARTS")
ONE_NODE = {"NNODES": "1", "GPUS_PER_NODE": "2"}
TWO_NODES = {"NNODES": "2", "GPUS_PER_NODE": "8", "MASTER_ADDR": "n0", "MASTER_PORT": "29500"}


def clean_environment(**variables: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k not in (*VARIABLES, "CONFIG")}, **variables}


def launch(script: str, *arguments: str, path: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**variables)
    environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
    return subprocess.run(
        ["bash", script, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "NNODES is not set: "),
        ({"NNODES": "1"}, "GPUS_PER_NODE is not set: "),
        ({"NNODES": "2", "GPUS_PER_NODE": "8"}, "MASTER_ADDR is not set: "),
        ({"NNODES": "2", "GPUS_PER_NODE": "8", "MASTER_ADDR": "a"}, "MASTER_PORT is not set: "),
        (TWO_NODES, "NODE_RANK is not set: "),
        ({**TWO_NODES, "NNODES": "4:8"}, "NNODES 4:8 is a range, which needs RDZV=c10d"),
        ({**TWO_NODES, "RDZV": "etcd"}, "RDZV etcd must be static or c10d"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(variables, message):
    result = launch(SCRIPT, **variables)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


def executable(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return str(path)


CHECKS = 'case "$*" in -c*) exit ;; *--print_config) exit "${BAD_CONFIG:-0}" ;; esac\n'


@pytest.fixture
def recorder(tmp_path) -> Path:
    """A python that prints its arguments, an srun that runs its command, and a scontrol that knows two nodes."""
    executable(tmp_path / "python", CHECKS + 'echo "$@"; exit ${STATUS:-0}')
    executable(tmp_path / "scontrol", 'if [ "$1" = requeue ]; then echo "$@"; else printf "n0\\nn1\\n"; fi')
    executable(tmp_path / "srun", 'while [[ "$1" = -* ]]; do shift; done; for i in 0 1; do SLURM_NODEID=$i "$@"; done')
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (ONE_NODE, "--nnodes 1 --nproc_per_node 2 --max_restarts 3 --standalone "),
        (
            {**TWO_NODES, "NODE_RANK": "1"},
            "--nnodes 2 --nproc_per_node 8 --max_restarts 0 --node_rank 1 --master_addr n0 --master_port 29500 ",
        ),
        (
            {**TWO_NODES, "NNODES": "4:8", "RDZV": "c10d", "RDZV_ID": "7", "MAX_RESTARTS": "9"},
            "--nnodes 4:8 --nproc_per_node 8 --max_restarts 9 "
            "--rdzv_backend c10d --rdzv_endpoint n0:29500 --rdzv_id 7 ",
        ),
    ],
)
def test_arguments_reach_torchrun_and_the_run(recorder, variables, expected):
    run = ("--optim.lr", "1", "--out_dir", "a b")
    result = launch(SCRIPT, *run, PYTHON=str(recorder / "python"), **variables)
    assert f"-m torch.distributed.run {expected}" in result.stdout
    assert result.stdout.endswith("tools/train.py painter_vit_large --optim.lr 1 --out_dir a b\n")


def test_another_config(recorder):
    result = launch(SCRIPT, PYTHON=str(recorder / "python"), CONFIG="single_task", **ONE_NODE)
    assert result.stdout.endswith("tools/train.py single_task\n")


def test_a_wrong_config_starts_nothing(recorder):
    result = launch(SCRIPT, PYTHON=str(recorder / "python"), BAD_CONFIG="1", **ONE_NODE)
    assert (result.returncode, result.stdout) == (2, "")


def submit(recorder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return launch(
        "tools/slurm_train.sbatch",
        "--optim.lr",
        "1",
        path=str(recorder),
        PYTHON=str(recorder / "python"),
        SLURM_JOB_NUM_NODES="2",
        SLURM_JOB_NODELIST="n[0-1]",
        SLURM_JOB_ID="7",
        SLURM_GPUS_ON_NODE="4",
        **variables,
    )


def test_slurm_starts_every_node(recorder):
    lines = submit(recorder).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "--nnodes 2 --nproc_per_node 4 --max_restarts 3 --rdzv_backend c10d --rdzv_endpoint n0:20007" in line
        assert line.endswith("--optim.lr 1")


def test_slurm_gives_every_node_its_rank(recorder):
    lines = submit(recorder, RDZV="static").stdout.splitlines()
    assert len(lines) == 2
    for rank, line in enumerate(lines):
        assert f"--node_rank {rank} --master_addr n0 --master_port 20007" in line


@pytest.mark.parametrize(("status", "requeued"), [(75, True), (0, False), (1, False), (130, False), (137, False)])
def test_slurm_queues_a_stopped_run_again(recorder, status, requeued):
    executable(recorder / "srun", f"exit {status}")
    result = submit(recorder)
    assert result.returncode == status
    assert result.stdout == ("requeue 7\n" if requeued else "")


AGENT = """
import os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(sys.argv[1])
def heard(name):
    with (here / "heard").open("a") as file: file.write(name + "\\n")
def terminate(number, frame):
    heard("agent"); sys.exit(1)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, terminate)
if len(sys.argv) > 2:
    worker = subprocess.Popen([sys.executable, "-SE", "-c", sys.argv[2], here], start_new_session=True)
    sys.exit(abs(worker.wait()))
(here / "ready").write_text(str(os.getpid()))
time.sleep(60)
"""
WORKER = """
import os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
def stop(number, frame):
    with (here / "heard").open("a") as file: file.write("worker " + signal.Signals(number).name + "\\n")
    pathlib.Path(os.environ["PAINTER_STATUS_FILE"]).write_text("75")
    sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, stop)
(here / "new").write_text(f"{os.getppid()} {os.getpid()}")
(here / "new").rename(here / "ready")
time.sleep(60)
"""
BUSY = WORKER.replace("    sys.exit(0)", "    time.sleep(60)").replace('"75"', '""')
READY = WORKER[WORKER.index('(here / "new")') : WORKER.index("time.sleep")]
STARTING = WORKER.replace(READY, "").replace("for number", f"{READY}time.sleep(0.6)\nfor number")


@pytest.fixture
def launched(tmp_path) -> Iterator[Callable[[str], "Launched"]]:
    """Starts a `Launched`; a test that fails leaves no process either."""
    made: list[Launched] = []
    yield lambda worker: made.append(Launched(tmp_path, worker)) or made[-1]
    for pid in (pid for one in made for pid in (one.script.pid, *one.pids) if alive(pid)):
        os.kill(pid, signal.SIGKILL)
    for one in made:
        one.script.wait()


class Launched:
    """The script in a process group of its own, with a torchrun that starts one process, all of them fakes."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder = folder
        for name, text in {"agent.py": AGENT, "worker.py": worker}.items():
            (folder / name).write_text(text)
        hand_over = f'exec {sys.executable} -SE "{folder}/agent.py" "{folder}" ${{WORKER:+"$WORKER"}}'
        python = executable(folder / "python", CHECKS + hand_over)
        (folder / "tmp").mkdir()
        self.script = subprocess.Popen(
            ["bash", SCRIPT],
            cwd=REPOSITORY,
            env=clean_environment(PYTHON=python, TMPDIR=str(folder / "tmp"), WORKER=worker, **ONE_NODE),
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )
        self.pids = [int(pid) for pid in wait_for(lambda: read(folder / "ready")).split()]

    def end(self) -> int:
        """The script's status; it has left neither processes nor files."""
        status = self.script.wait(20)
        wait_for(lambda: not any(map(alive, self.pids)))
        assert not list((self.folder / "tmp").iterdir())
        return status


def hear_interrupts() -> None:
    """Even when the tests run in the background, where a shell lets nothing hear them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has asked for does not."""
    stat = read(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(condition: Callable[[], object]) -> str:
    deadline = time.monotonic() + 120
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(value)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["script", "group"])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGHUP", 75), ("SIGINT", 130)])
def test_a_signal_lets_the_processes_save(launched, tmp_path, send, name, status):
    run = launched(WORKER)
    send(run.script.pid, signal.Signals[name])
    assert run.end() == status
    assert read(tmp_path / "heard") == "worker SIGUSR1\n"


def test_a_signal_is_heeded_by_processes_that_still_start(launched, tmp_path):
    run = launched(STARTING)
    run.script.terminate()
    assert run.end() == 75
    assert read(tmp_path / "heard") == "worker SIGUSR1\n"


def test_a_signal_before_there_are_processes_ends_torchrun(launched, tmp_path):
    run = launched("")
    run.script.terminate()
    assert run.end() == 75
    assert read(tmp_path / "heard") == "agent\n"


def test_a_second_interrupt_kills(launched, tmp_path):
    run = launched(BUSY)
    run.script.send_signal(signal.SIGINT)
    wait_for(lambda: read(tmp_path / "heard"))
    run.script.send_signal(signal.SIGINT)
    assert run.end() == 130


@pytest.mark.parametrize(("victim", "status"), [(0, 128 + signal.SIGKILL), (1, int(signal.SIGKILL))])
def test_the_status_of_a_failure_is_passed_on(launched, victim, status):
    run = launched(WORKER)
    os.kill(run.pids[victim], signal.SIGKILL)
    assert run.end() == status


def test_a_killed_rank_is_started_again_and_the_run_ends_as_in_peace(config, tmp_path):
    """Two real ranks on the CPU; torchrun starts both anew, and they go on from the last checkpoint."""
    config = replace(config, optim=replace(config.optim, steps=60))
    peace, killed = (replace(config, out_dir=tmp_path / name) for name in ("peace", "killed"))
    with two_ranks(peace) as script:
        assert script.wait(120) == 0
    with two_ranks(killed) as script:
        wait_for(lambda: len(ranks_of(killed)) == 2)  # long before they train: to look takes time on a busy machine
        victim = ranks_of(killed)[0]
        wait_for((killed.out_dir / LAST).exists)  # something to go on from is written, beside the training
        os.kill(victim, signal.SIGKILL)
        assert "going on from" in script.communicate(timeout=120)[1]
        assert script.returncode == 0
    assert len(losses(peace.out_dir)) == 60
    assert losses(killed.out_dir) == losses(peace.out_dir)


def two_ranks(config: RunConfig) -> "subprocess.Popen[str]":
    """The script, which trains by this config."""
    variables = {"PYTHON": sys.executable, "CONFIG": str(config_file(config)), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        ["bash", SCRIPT],
        cwd=REPOSITORY,
        env=clean_environment(**ONE_NODE, **variables, MAX_RESTARTS="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ranks_of(config: RunConfig) -> list[int]:
    """The processes that train, loader processes left out."""
    command = [sys.executable, "-u", str(REPOSITORY / "tools/train.py"), str(config.out_dir.with_suffix(".py"))]
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if read(path).rstrip("\0").split("\0") == command
    ]
