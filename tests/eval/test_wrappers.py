"""The shell wrappers of the benchmarks: what they start, and that all seven go on whatever one of them does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.paper import TITLES
from eval.run import benchmark_of

REPOSITORY = Path(__file__).parents[2]
EVAL = REPOSITORY / "eval"
VARIABLES = ("GPUS_PER_NODE", "PYTHON", "BENCHMARKS", "PYTHONPATH", "CDPATH")
Ended = subprocess.CompletedProcess[str]


def bash(script: Path | str, *arguments: str, cwd: Path, **variables: str) -> Ended:
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    return subprocess.run(
        ["bash", str(script), *arguments],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs the tests may ignore it
    )


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A Python that writes its arguments, one in brackets each, to calls; its exit status is 1 where FAIL matches."""
    path = tmp_path / "a python"
    lines = (
        "#!/bin/bash",
        f'printf "[%s]" "$@" >> "{tmp_path}/calls"; echo >> "{tmp_path}/calls"',
        f'echo "$PYTHONPATH" >> "{tmp_path}/paths"',
        'if [ -n "${INTERRUPT:-}" ]; then kill -INT $PPID; exit 130; fi',
        '[[ -z "${FAIL:-}" || ! "$*" =~ $FAIL ]]',
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def calls(recorder: Path) -> list[list[str]]:
    """The arguments of each call so far."""
    file = recorder.with_name("calls")
    return [line[1:-1].split("][") for line in file.read_text().splitlines()] if file.exists() else []


def started(recorder: Path, script: str, *arguments: str, **variables: str) -> list[str]:
    """The arguments of the one call that a wrapper makes, in another folder than its own."""
    ended = bash(EVAL / script, *arguments, cwd=recorder.parent, PYTHON=str(recorder), **variables)
    assert ended.returncode == 0, ended.stderr
    (call,) = calls(recorder)
    return call


# One benchmark


@pytest.mark.parametrize("name", TITLES)
def test_every_benchmark_has_its_wrapper(recorder, name):
    assert benchmark_of(name).name == name
    due = ["-m", f"eval.{name}", "--ckpt", "w.pth", "--data_root", "D"]
    assert started(recorder, f"{name}.sh", "w.pth", "D") == due


def test_there_are_no_other_scripts():
    assert {path.stem for path in EVAL.glob("*.sh")} == {*TITLES, "run", "eval_all", "python"}


@pytest.mark.parametrize("path", sorted(EVAL.glob("*.sh")), ids=lambda path: path.stem)
def test_scripts_are_bash(path):
    assert path.read_text().startswith("#!/usr/bin/env bash\n# ")
    assert subprocess.run(["bash", "-n", path], capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize(
    ("script", "arguments", "named"),
    [
        *((f"{name}.sh", (), f"{name}.sh CKPT [DATA_ROOT]") for name in ("lol", "coco_panoptic")),
        ("lol.sh", ("-h",), "lol.sh CKPT [DATA_ROOT]"),
        ("lol.sh", ("--help",), "lol.sh CKPT [DATA_ROOT]"),
        ("run.sh", (), "NAME.sh CKPT [DATA_ROOT]"),
        ("run.sh", ("--help",), "NAME.sh CKPT [DATA_ROOT]"),
        ("run.sh", ("lol",), "lol.sh CKPT [DATA_ROOT]"),
        ("lol.sh", ("--ckpt", "w.pth"), "lol.sh CKPT [DATA_ROOT]"),
        ("eval_all.sh", (), "eval_all.sh CKPT [DATA_ROOT] [OUT]"),
        ("eval_all.sh", ("-h",), "eval_all.sh CKPT [DATA_ROOT] [OUT]"),
    ],
)
def test_without_arguments_the_usage_is_told(recorder, script, arguments, named):
    ended = bash(EVAL / script, *arguments, cwd=recorder.parent, PYTHON=str(recorder))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"usage: bash eval/{named}")
    assert len(ended.stderr.splitlines()) == 1
    assert not calls(recorder)


def test_the_data_root_may_be_left_out(recorder):
    call = started(recorder, "lol.sh", "w.pth")
    assert call == ["-m", "eval.lol", "--ckpt", "w.pth", "--data_root", "datasets"]


def test_options_follow_with_or_without_a_data_root(recorder):
    options = ["--limit", "3", "--out_dir", "my results/*"]
    due = ["-m", "eval.sidd", "--ckpt", "my weights.pth", "--data_root"]
    assert started(recorder, "sidd.sh", "my weights.pth", *options) == [*due, "datasets", *options]
    recorder.with_name("calls").unlink()
    assert started(recorder, "sidd.sh", "my weights.pth", "my data", *options) == [*due, "my data", *options]


def test_help_below_weights_is_that_of_the_command(recorder):
    call = started(recorder, "lol.sh", "w.pth", "-h")
    assert call == ["-m", "eval.lol", "--ckpt", "w.pth", "--data_root", "datasets", "-h"]


def test_the_word_oracle_takes_the_place_of_weights(recorder):
    call = started(recorder, "derain.sh", "oracle", "D", "--oracle_noise", "9")
    assert call == ["-m", "eval.derain", "--oracle", "--data_root", "D", "--oracle_noise", "9"]


@pytest.mark.parametrize("num", ["2", "8", "gpu"])
def test_several_processes_are_started_by_torchrun(recorder, num):
    call = started(recorder, "lol.sh", "w.pth", "D", GPUS_PER_NODE=num)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", num]
    assert call == [*launch, "-m", "eval.lol", "--ckpt", "w.pth", "--data_root", "D"]


def test_one_process_needs_no_torchrun(recorder):
    assert started(recorder, "lol.sh", "w.pth", GPUS_PER_NODE="1")[:2] == ["-m", "eval.lol"]


def test_the_repository_leads_the_path_of_modules(recorder):
    started(recorder, "lol.sh", "w.pth", PYTHONPATH="/mine")
    assert recorder.with_name("paths").read_text() == f"{REPOSITORY}:/mine\n"


def test_the_exit_status_is_that_of_the_benchmark(recorder):
    assert bash(EVAL / "lol.sh", "w", cwd=recorder.parent, PYTHON=str(recorder), FAIL="eval.lol").returncode == 1


def test_a_wrapper_runs_its_benchmark(world, tmp_path):
    """Started where it lies, by a relative path; an option may name the data roots too."""
    out = tmp_path / "my results"
    options = ["--data_root", str(tmp_path), str(world), "--out_dir", str(out), "--num_workers", "0"]
    ended = bash("lol.sh", "oracle", *options, "--device", "cpu", cwd=EVAL, PYTHON=sys.executable)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("lol: PSNR ")
    assert (out / "results.json").is_file()


# All of them


def all_of(recorder: Path, *arguments: str, **variables: str) -> Ended:
    return bash(EVAL / "eval_all.sh", *arguments, cwd=recorder.parent, PYTHON=str(recorder), **variables)


def tools(out: str) -> list[list[str]]:
    return [[f"{REPOSITORY}/tools/{name}.py", out] for name in ("paper_table", "report")]


def test_all_benchmarks_then_the_tables_and_the_report(recorder):
    ended = all_of(recorder, "w.pth", "my data", "my out", "--limit", "3")
    assert (ended.returncode, ended.stderr) == (0, "")
    first = ["--ckpt", "w.pth", "--data_root", "my data", "--out_dir"]
    due = [["-m", f"eval.{name}", *first, f"my out/{name}", "--limit", "3"] for name in TITLES]
    assert calls(recorder) == [*due, *tools("my out")]


def test_all_folders_may_be_left_out(recorder):
    assert all_of(recorder, "oracle", "--limit", "3").returncode == 0
    first, *_ = calls(recorder)
    due = ["-m", "eval.nyuv2_depth", "--oracle", "--data_root", "datasets", "--out_dir", "results/nyuv2_depth"]
    assert first == [*due, "--limit", "3"]
    assert calls(recorder)[-2:] == tools("results")


def test_the_others_go_on_after_one_has_failed(recorder):
    ended = all_of(recorder, "w.pth", FAIL="eval.(coco_pose|lol)")
    assert ended.returncode == 1
    assert ended.stderr == "error: without a result: coco_pose lol\n"
    assert len(calls(recorder)) == len(TITLES) + 2


def test_a_report_that_fails_is_named(recorder):
    ended = all_of(recorder, "w.pth", FAIL="report.py")
    assert (ended.returncode, ended.stderr) == (1, "error: without a result: tables and report\n")


def test_benchmarks_can_be_chosen(recorder):
    assert all_of(recorder, "w.pth", BENCHMARKS="lol sidd", GPUS_PER_NODE="2").returncode == 0
    chosen = [call[call.index("--ckpt") - 1] for call in calls(recorder)[:-2]]
    assert chosen == ["eval.lol", "eval.sidd"]
    assert ["torch.distributed.run" in call for call in calls(recorder)] == [True, True, False, False]


def test_a_key_stops_all(recorder):
    """A benchmark ends with a sentence and status 130 on Ctrl-C, which the script gets too."""
    assert all_of(recorder, "w.pth", INTERRUPT="yes").returncode in (130, -signal.SIGINT)
    assert len(calls(recorder)) == 1
