"""Writes down how a training goes: event lines for Islet, and curves for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.archive.run_folder import RunFolder, Wish, folder_error
from engine.run import EpochRecord, RunState
from engine.training.follow import StepRecord
from engine.training.tensorboard_file import TensorBoardFile

# ours: a curve that moves twice a second looks live, and a line costs nothing
_STEP_INTERVAL_S = 0.5
_PROGRESS_INTERVAL_S = 0.25


class RunLog:
    """Writes everything that one training tells into the run's folder.

    Args:
        folder: Of the run, in the hands of this process.
        clock: Seconds that never go back.
    """

    def __init__(self, folder: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._boards: dict[str, TensorBoardFile] = {}
        self._part = self._stage = ""
        self._last_step_s = self._last_progress_s = -1e9
        self._steps: dict[str, int] = {}

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def set_state(self, state: RunState, message: str = "", remedy: str = "") -> None:
        """Say what the run is doing now; see `RunFolder.set_state`."""
        self._folder.set_state(state, message, remedy)

    def on_progress(self, stage: str, fraction: float) -> None:
        """Write how far a stage without epochs is."""
        now = self._clock()
        is_landmark = stage != self._stage or fraction >= 1.0
        if is_landmark or now - self._last_progress_s >= _PROGRESS_INTERVAL_S:
            self._stage, self._last_progress_s = stage, now
            self._folder.emit("progress", stage=stage, fraction=fraction)

    def on_dry_run(
        self, *, needed_bytes: int, free_bytes: int, text: str, step_s: float | None = None
    ) -> None:
        """Write what was predicted before the first epoch."""
        self._folder.emit(
            "dry_run", needed_bytes=needed_bytes, free_bytes=free_bytes, step_s=step_s, text=text
        )

    def on_step(self, record: StepRecord) -> None:
        """Write a finished step; of those that follow each other fast, some."""
        now = self._clock()
        self._part, self._steps[record.part] = record.part, record.steps
        is_landmark = record.step in (1, record.steps)
        if not is_landmark and now - self._last_step_s < _STEP_INTERVAL_S:
            return
        self._last_step_s = now
        self._folder.emit("step", **_values_of(record))
        figures = {f"loss of a step/{task}": value for task, value in record.losses.items()}
        self._add_scalars(record.part, (record.epoch - 1) * record.steps + record.step, figures)

    def on_epoch(self, part: str, epochs: int, record: EpochRecord) -> None:
        """Write a finished epoch."""
        self._part = part
        remaining_s = record.elapsed_s / record.epoch * (epochs - record.epoch)
        self._folder.emit(
            "epoch", part=part, epochs=epochs, **_values_of(record), remaining_s=remaining_s
        )
        figures = {
            **{f"loss/{task}": value for task, value in record.losses.items()},
            **{f"weight/{task}": value for task, value in record.weights.items()},
            **{f"score/{name}": value for name, value in record.scores.items()},
            "training/learning rate": record.learning_rate,
            "training/samples per second": record.samples_per_s,
            "training/memory in GB": record.memory_bytes / 1e9,
        }
        self._add_scalars(part, self._steps_until(part, record.epoch), figures)

    def on_alarm(self, text: str) -> None:
        """Write a sentence about something the user should look at."""
        self._folder.emit("alarm", text=text)

    def picture_path(self, epoch: int) -> Path:
        """Return where sample predictions of `epoch` shall be drawn."""
        return self._folder.picture_path(epoch)

    def on_picture(self, epoch: int, path: Path) -> None:
        """Write that the sample predictions of `epoch` are drawn."""
        self._folder.emit("picture", epoch=epoch, file=f"{path.parent.name}/{path.name}")
        step = self._steps_until(self._part, epoch)
        try:
            self._board(self._part).add_picture(step, "sample predictions", path.read_bytes())
        except OSError as error:
            raise folder_error(error) from error

    def wanted(self) -> Wish:
        """Return what the run is asked to do."""
        return self._folder.wanted()

    def close(self) -> None:
        """Close the TensorBoard files."""
        for board in self._boards.values():
            board.close()
        self._boards.clear()

    def _steps_until(self, part: str, epoch: int) -> int:
        return epoch * self._steps.get(part, 1)

    def _add_scalars(self, part: str, step: int, figures: dict[str, float]) -> None:
        try:
            self._board(part).add_scalars(step, figures)
        except OSError as error:
            raise folder_error(error) from error

    def _board(self, part: str) -> TensorBoardFile:
        if part not in self._boards:
            # A folder each, or a part that resumes would wipe the curves of another.
            self._boards[part] = TensorBoardFile(self._folder.tensorboard / (part or "run"))
        return self._boards[part]


def _values_of(record: StepRecord | EpochRecord) -> dict[str, Any]:
    # Not `asdict`: it copies deeply, which the read-only mappings of a record refuse.
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }
