"""Signals end a step, not a run: a checkpoint, a status of its own, and the same losses after going on."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from engine.stop import STATUS, Stopped, StopSignals, forget_status, leave
from engine.train import run
from tests.engine.test_train import ENVIRONMENT, REPOSITORY, config_file, losses
from util.lock import held


def stopping_at(step, number=signal.SIGUSR1):
    """A probe that sends this process a signal after a step; one more is taken, which hears it."""

    def probe(model, at, world):
        if at == step:
            os.kill(os.getpid(), number)
        return {}

    return probe


@pytest.fixture(autouse=True)
def hear_interrupts():
    """Also where a shell has started the tests in the background, and lets them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_the_same_command_goes_on(config, tmp_path, number, status):
    run(config)
    stopped = replace(config, out_dir=tmp_path / "stopped", log=replace(config.log, benchmark_every=1, save_every=100))
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="stopped after step 4, with a checkpoint") as caught:
        run(stopped, [stopping_at(3, number)])
    assert caught.value.status == status
    assert signal.getsignal(number) == before
    assert (stopped.out_dir / "step_0000004").is_dir()
    run(stopped)
    assert losses(stopped.out_dir) == losses(config.out_dir)


def test_what_is_due_at_the_last_step_is_not_lost(config):
    config = replace(config, log=replace(config.log, benchmark_every=1, val_every=4))
    with pytest.raises(Stopped):
        run(config, [stopping_at(3)])
    assert '"step": 4, "val/derain/loss"' in (config.out_dir / "log.jsonl").read_text()


def test_a_second_ctrl_c_stops_at_once():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.heard == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_closed_terminal_does_not_keep_a_signal_from_being_heard():
    """As when its window is closed: it cannot be written to any more."""
    script = "import os, signal, sys; from engine.stop import StopSignals\nos.close(2)\n"
    script += "with StopSignals() as signals:\n signal.raise_signal(signal.SIGHUP)\n"
    script += " print('told to nobody', file=sys.stderr, flush=True)\n sys.exit(signals.heard)"
    ran = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, cwd=REPOSITORY)
    assert ran.returncode == signal.SIGHUP


def test_what_nohup_ignores_stays_ignored_and_usr1_does_not():
    for number in (signal.SIGHUP, signal.SIGUSR1):
        before = signal.signal(number, signal.SIG_IGN)
        with StopSignals() as signals:
            signal.raise_signal(number)
            assert (signals.heard == number) == (number == signal.SIGUSR1)
        assert signal.getsignal(number) == signal.SIG_IGN
        signal.signal(number, before)


def test_other_threads_hear_nothing_and_change_nothing():
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with StopSignals():
            assert signal.getsignal(signal.SIGTERM) == before

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_the_status_of_the_process_is_that_of_a_stop(config):
    """As a scheduler sees it: the whole group of processes is signalled, loader processes too."""
    config = replace(
        config,
        data=replace(config.data, num_workers=2),
        optim=replace(config.optim, steps=100_000),
        log=replace(config.log, save_every=100_000),
    )
    command = [sys.executable, str(REPOSITORY / "tools/train.py"), str(config_file(config))]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    log = config.out_dir / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        pass
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == STATUS
    assert "SIGTERM: stopping after this step" in errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert len(list(config.out_dir.glob("step_*"))) == 1


def test_a_launch_script_is_told_the_status_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PAINTER_STATUS_FILE", str(tmp_path / "status"))
    with pytest.raises(SystemExit) as caught:
        leave(STATUS)
    assert caught.value.code == 0
    assert (tmp_path / "status").read_text() == "75"
    with pytest.raises(SystemExit) as caught:
        leave(1, "error: it is broken for good")
    assert caught.value.code == 0
    assert (tmp_path / "status").read_text() == "1"
    forget_status()
    assert (tmp_path / "status").read_text() == ""
    monkeypatch.delenv("PAINTER_STATUS_FILE")
    with pytest.raises(SystemExit) as caught:
        leave(STATUS)
    assert caught.value.code == STATUS


def test_two_runs_do_not_share_a_folder(config):
    holder = "import sys, time; from pathlib import Path; from util.lock import held\n"
    holder += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(config.out_dir)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"run is in use by process {other.pid} on .*, since .*choose another"):
            run(config)
        other.kill()  # which leaves the file there, and unlocked
        other.wait()
    assert run(config)


def test_a_forked_process_does_not_keep_the_folder(tmp_path):
    """Loader processes may outlive a killed run by seconds."""
    reader, writer = os.pipe()
    with held(tmp_path):
        child = os.fork()
        if not child:
            os.read(reader, 1)
            os._exit(0)
    test = "import sys; from pathlib import Path; from util.lock import held\nwith held(Path(sys.argv[1])): pass"
    subprocess.run([sys.executable, "-c", test, str(tmp_path)], env=ENVIRONMENT, check=True)
    os.write(writer, b"x")
    os.waitpid(child, 0)
