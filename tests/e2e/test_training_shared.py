"""Two processes train together: to the end, through the death of one, and through Ctrl+C."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.archive.runs import read_run
from engine.run import RunState
from tests.e2e.program import (
    PATIENCE_S,
    Islet,
    end,
    hold_within_an_epoch,
    let_go,
    members,
)
from tests.engine.training.tiny import write_balls

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

_WEIGHTS = "weights.safetensors"


@pytest.fixture(scope="module")
def islet(tmp_path_factory: pytest.TempPathFactory) -> Islet:
    return Islet(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture(scope="module")
def whole(islet: Islet, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that two processes have finished undisturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    islet.run(*_words(dataset, run))
    return run


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Take programs that a test starts; none outlives it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        end(process)


def _words(dataset: Path, run: Path) -> list[object]:
    options = ["--size", "toy", "--epochs", "6", "--device", "cpu", "--precision", "fp32"]
    shared = ["--devices", "2", "--batch-size", "2"]
    return ["train", "unet", "--data", dataset, "--run", run, *options, *shared]


def test_a_run_of_two_processes_is_evaluated_like_any_other(
    islet: Islet, dataset: Path, whole: Path, tmp_path: Path
) -> None:
    run = read_run(whole)
    assert run.state is RunState.FINISHED
    assert (run.plan.num_devices, run.plan.batch_size) == (2, 2)
    assert len(run.history) == 6
    report = islet.run("evaluate", whole, "--data", dataset, "--out", tmp_path / "report")
    assert "Pancreas Dice" in report.stdout


def test_the_death_of_one_process_ends_the_training_with_a_sentence(
    islet: Islet,
    dataset: Path,
    whole: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    run = tmp_path / "run"
    training = islet.start(*_words(dataset, run))
    started.append(training)
    hold_within_an_epoch(training, run, "unet", 2)
    (victim,) = [member for member in members(training) if _rank(member) == 1]
    victim.kill()
    let_go(training)
    _, noted = training.communicate(timeout=PATIENCE_S)
    assert training.returncode == 2
    assert "One of the 2 training processes ended unexpectedly." in noted
    assert "Resume the run with --resume" in noted
    assert read_run(run).state in (RunState.INTERRUPTED, RunState.FAILED)

    islet.run(*_words(dataset, run), "--resume")
    assert (run / _WEIGHTS).read_bytes() == (whole / _WEIGHTS).read_bytes()


def test_ctrl_c_reaches_every_process_and_leaves_a_checkpoint(
    islet: Islet,
    dataset: Path,
    whole: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    run = tmp_path / "run"
    training = islet.start(*_words(dataset, run))
    started.append(training)
    hold_within_an_epoch(training, run, "unet", 2)
    # A terminal sends it to the whole group.
    os.killpg(training.pid, signal.SIGINT)
    let_go(training)
    _, noted = training.communicate(timeout=PATIENCE_S)
    assert training.returncode == 130
    assert "The training was stopped. Its checkpoint is kept." in noted
    assert "unexpectedly" not in noted
    assert read_run(run).state is RunState.STOPPED

    islet.run(*_words(dataset, run), "--resume")
    assert (run / _WEIGHTS).read_bytes() == (whole / _WEIGHTS).read_bytes()


def _rank(process: psutil.Process) -> int | None:
    rank = process.environ().get("RANK")
    return None if rank is None else int(rank)
