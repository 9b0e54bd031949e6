from __future__ import annotations

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.archive import run_folder
from engine.archive.run_folder import RunDiskFullError, RunFolder
from engine.archive.runs import read_details, request
from engine.run import EpochRecord, RunState
from engine.training.events import RunLog
from engine.training.follow import StepRecord
from engine.training.tensorboard_file import TensorBoardFile
from tests.engine.archive.runs_made import begin_run


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _step(step: int, *, epoch: int = 1, part: str = "tiny", loss: float = 1.0) -> StepRecord:
    return StepRecord(part, epoch, 2, step, 10, {"segmentation": loss}, {"segmentation": 1.0}, 5.0)


def _epoch(epoch: int, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(
        epoch,
        {"segmentation": loss},
        {"dice lesion": 0.25},
        elapsed_s=8.0 * epoch,
        weights={"segmentation": 1.5},
        learning_rate=0.125,
        samples_per_s=4.0,
        memory_bytes=2_000_000_000,
    )


def _kinds(run: RunFolder) -> list[str]:
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def _curves(run: RunFolder, part: str) -> dict[str, list[tuple[int, float]]]:
    board = EventAccumulator(str(run.tensorboard / part)).Reload()
    return {
        tag: [(point.step, point.value) for point in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
    }


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return begin_run(tmp_path / "run")


def test_what_a_trainer_tells_is_what_a_reader_reads(run: RunFolder) -> None:
    with RunLog(run) as log:
        log.on_progress("prepare", 0.5)
        log.on_dry_run(needed_bytes=1, free_bytes=2, step_s=0.5, text="It fits.")
        log.on_step(_step(1))
        log.on_epoch("tiny", 4, _epoch(1))
        log.on_alarm("Look.")
        log.set_state(RunState.FINISHED)
    details = read_details(run.folder)
    assert details.run.state is RunState.FINISHED
    assert details.run.history == (_epoch(1),)
    assert details.remaining_s == pytest.approx(24.0)
    assert details.alarms == ("Look.",)
    assert details.dry_run is not None
    step = details.last_step
    assert step is not None
    assert (step.part, step.epoch, step.step, step.losses) == ("tiny", 1, 1, {"segmentation": 1.0})


def test_fast_steps_are_told_twice_a_second_and_the_first_and_last_always(run: RunFolder) -> None:
    clock = Clock()
    with RunLog(run, clock) as log:
        for number in range(1, 11):
            log.on_step(_step(number))
            clock.now_s += 0.125
    told = [step.step for step in read_details(run.folder).steps]
    assert told == [1, 5, 9, 10]


def test_fast_progress_is_thinned_but_never_its_end(run: RunFolder) -> None:
    with RunLog(run, Clock()) as log:
        for fraction in (0.1, 0.2, 1.0):
            log.on_progress("prepare", fraction)
        log.on_progress("features", 0.0)
    assert _kinds(run) == ["state", "progress", "progress", "progress"]
    assert read_details(run.folder).stage == "features"


def test_a_wish_reaches_whoever_follows(run: RunFolder) -> None:
    request(run.folder, "stop")
    assert RunLog(run).wanted() == "stop"


def test_every_part_has_its_curves(run: RunFolder) -> None:
    with RunLog(run) as log:
        log.on_step(_step(1, part="tiny_localiser", loss=3.0))
        log.on_epoch("tiny_localiser", 2, _epoch(1))
        log.on_step(_step(10, loss=2.0))
        log.on_epoch("tiny", 2, _epoch(1, loss=0.75))
    assert _curves(run, "tiny_localiser")["loss of a step/segmentation"] == [(1, 3.0)]
    curves = _curves(run, "tiny")
    assert curves == {
        "loss of a step/segmentation": [(10, 2.0)],
        "loss/segmentation": [(10, 0.75)],
        "weight/segmentation": [(10, 1.5)],
        "score/dice lesion": [(10, 0.25)],
        "training/learning rate": [(10, 0.125)],
        "training/samples per second": [(10, 4.0)],
        "training/memory in GB": [(10, 2.0)],
    }


def test_curves_of_a_resumed_training_go_on_where_its_checkpoint_was(run: RunFolder) -> None:
    with RunLog(run) as log:
        for epoch in (1, 2, 3):
            log.on_step(_step(10, epoch=epoch, loss=epoch))
    with RunLog(RunFolder.reopen(run.folder)) as log:
        log.on_step(_step(10, epoch=2, loss=20.0))
    points = _curves(run, "tiny")["loss of a step/segmentation"]
    assert points == [(10, 1.0), (20, 20.0)]


def test_pictures_are_shown_in_both_places(run: RunFolder) -> None:
    with RunLog(run) as log:
        log.on_step(_step(1))
        path = log.picture_path(1)
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(path)
        log.on_picture(1, path)
    assert read_details(run.folder).pictures == {1: path}
    board = EventAccumulator(str(run.tensorboard / "tiny")).Reload()
    (image,) = board.Images("sample predictions")
    assert (image.width, image.height, image.encoded_image_string) == (8, 6, path.read_bytes())


def test_the_name_of_the_computer_is_not_in_the_run(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "radiology-pc-7")
    with RunLog(run) as log:
        log.on_step(_step(1))
    for path in run.folder.rglob("*"):
        assert "radiology-pc-7" not in path.name
        assert not path.is_file() or b"radiology-pc-7" not in path.read_bytes()


def test_a_full_disk_is_said_whichever_file_it_hits(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Mock(side_effect=OSError(errno.ENOSPC, "full"))
    monkeypatch.setattr(TensorBoardFile, "add_scalars", full)
    with RunLog(run) as log, pytest.raises(RunDiskFullError):
        log.on_step(_step(1))
    monkeypatch.setattr(run_folder.os, "write", full)
    with RunLog(run) as log, pytest.raises(RunDiskFullError):
        log.on_alarm("Look.")
