"""Trainings that are killed or stopped in the middle of an epoch lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.archive.run_folder import RUN_FILE
from engine.archive.runs import read_details, read_run
from engine.run import RunState
from tests.e2e.program import (
    PATIENCE_S,
    Islet,
    end,
    events,
    hold_within_an_epoch,
    let_go,
    wait_until,
)
from tests.engine.training.tiny import write_balls

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

_WEIGHTS = "weights.safetensors"
# Several chances to be caught in the middle of one.
_EPOCHS = 4


@pytest.fixture(scope="module")
def islet(tmp_path_factory: pytest.TempPathFactory) -> Islet:
    return Islet(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Take programs that a test starts; none outlives it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        end(process)


def _words(system: str, dataset: Path, run: Path) -> list[object]:
    options = ["--size", "toy", "--epochs", _EPOCHS, "--device", "cpu", "--precision", "fp32"]
    return ["train", system, "--data", dataset, "--run", run, *options]


# One balances its tasks and keeps a moving average, the other has dropout and momentum.
@pytest.mark.parametrize("system", ["islet", "resenc_multitask"])
def test_a_killed_training_resumes_to_the_weights_of_an_uninterrupted_one(
    system: str,
    islet: Islet,
    dataset: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    islet.run(*_words(system, dataset, whole))

    training = islet.start(*_words(system, dataset, broken))
    started.append(training)
    hold_within_an_epoch(training, broken, system, 2)
    os.killpg(training.pid, signal.SIGKILL)
    assert training.wait(timeout=60) == -signal.SIGKILL
    (row,) = [row for row in islet.json("runs", "--folder", tmp_path) if row["run_id"] == "broken"]
    assert row["state"] == "interrupted"
    assert 1 <= row["epoch"] < _EPOCHS
    assert not (broken / _WEIGHTS).exists()

    islet.run(*_words(system, dataset, broken), "--resume")
    assert (broken / _WEIGHTS).read_bytes() == (whole / _WEIGHTS).read_bytes()
    first, second = (read_run(run) for run in (whole, broken))
    assert first.state is second.state is RunState.FINISHED
    for one, other in zip(first.history, second.history, strict=True):
        assert one.losses == other.losses
        assert one.weights == other.weights
        assert one.scores == other.scores


def test_ctrl_c_stops_a_training_with_a_checkpoint(
    islet: Islet, dataset: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    islet.run(*_words("c2fnas_vae", dataset, whole))

    training = islet.start(*_words("c2fnas_vae", dataset, stopped))
    started.append(training)
    hold_within_an_epoch(training, stopped, "c2fnas_vae", 2)
    training.send_signal(signal.SIGINT)
    let_go(training)
    _, noted = training.communicate(timeout=PATIENCE_S)
    assert training.returncode == 130
    assert "Stopping after this step; press Ctrl+C again to leave at once." in noted
    assert "The training was stopped. Its checkpoint is kept." in noted
    assert "Traceback" not in noted
    assert read_run(stopped).state is RunState.STOPPED
    assert (stopped / "checkpoint" / "c2fnas_vae.pt").exists()

    # Another precision would end at other weights: what is not used is said.
    resumed = islet.run(*_words("c2fnas_vae", dataset, stopped), "--resume", "--precision", "fp16")
    assert "The run goes on as it was begun; not used: --precision." in resumed.stderr
    assert (stopped / _WEIGHTS).read_bytes() == (whole / _WEIGHTS).read_bytes()
    # The stopped epoch went on where it was: no step was taken twice.
    told = [(e["epoch"], e["step"]) for e in events(stopped) if e["event"] == "step"]
    assert len(set(told)) == len(told)


def test_a_second_ctrl_c_leaves_at_once(
    islet: Islet, dataset: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    run = tmp_path / "run"
    training = islet.start(*_words("islet", dataset, run))
    started.append(training)
    # The dry run asks nobody whether to stop, so there is time for a second signal.
    wait_until((run / "environment.json").exists, training, "the dry run")
    training.send_signal(signal.SIGINT)
    assert training.stderr is not None
    assert "press Ctrl+C again" in training.stderr.readline()
    training.send_signal(signal.SIGINT)
    _, noted = training.communicate(timeout=PATIENCE_S)
    assert training.returncode == 130
    assert noted == ""
    assert (run / RUN_FILE).exists()
    # It had no time to say how it ended.
    assert read_details(run).run.state is RunState.INTERRUPTED
