"""Show a training on the terminal, and hear Ctrl+C."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from engine.cli.console import CANCELLED_CODE, notes
from engine.errors import CancelledError

if TYPE_CHECKING:
    from engine.run import EpochRecord
    from engine.training.follow import StepRecord

_RANK = "RANK"


class TrainingBars:
    """A follower with one bar for each stage and each part; the first process alone speaks.

    Where there is no terminal, finished epochs are written as lines instead.
    """

    def __init__(self) -> None:
        self.speaks = os.environ.get(_RANK, "0") == "0"
        self.is_stopping = False
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=notes,
            disable=not (self.speaks and notes.is_terminal),
        )
        self._tasks: dict[str, TaskID] = {}
        self._former = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))

    def __enter__(self) -> Self:
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        self._bars.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()
        signal.signal(signal.SIGINT, self._former[0])
        signal.signal(signal.SIGTERM, self._former[1])

    def stop(self) -> None:
        """Take the bars away."""
        self._bars.stop()

    def on_progress(self, stage: str, fraction: float) -> None:
        """Show how far a stage is; a stage that is asked to stop ends here."""
        if self.is_stopping:
            raise CancelledError
        self._show(stage[:1].upper() + stage[1:], round(100 * fraction), 100, "%")

    def on_step(self, record: StepRecord) -> None:
        """Show a finished step."""
        left = "" if record.remaining_s is None else _time_text(record.remaining_s)
        self._show(
            f"{record.part}: epoch {record.epoch} of {record.epochs}, {_text(record.losses)}",
            (record.epoch - 1) * record.steps + record.step,
            record.epochs * record.steps,
            left,
            key=record.part,
        )

    def on_epoch(self, part: str, epochs: int, record: EpochRecord) -> None:
        """Write a finished epoch as a line, where there are no bars."""
        if not self.speaks or notes.is_terminal:
            return
        told = ", ".join(text for text in (_text(record.losses), _text(record.scores)) if text)
        notes.print(
            f"{part}: epoch {record.epoch} of {epochs}: {told}, "
            f"{record.samples_per_s:.2f} patches/s, {record.memory_bytes / 1e9:.2f} GB",
            highlight=False,
            soft_wrap=True,
        )

    def on_alarm(self, text: str) -> None:
        """Write an alarm."""
        if self.speaks:
            notes.print(text, style="yellow", highlight=False, soft_wrap=True)

    def on_pause(self, *, is_paused: bool) -> None:
        """Say that the training waits, or goes on."""
        if self.speaks:
            notes.print("Paused." if is_paused else "Going on.")

    def picture_path(self, epoch: int) -> Path | None:
        """Nobody looks at pictures on a terminal."""
        return None

    def on_picture(self, epoch: int, path: Path) -> None:
        """Ignore."""

    def wanted(self) -> Literal["run", "pause", "stop"]:
        """Say whether Ctrl+C was pressed."""
        return "stop" if self.is_stopping else "run"

    def _show(self, text: str, done: int, total: int, left: str, key: str = "") -> None:
        name = key or text
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(text, total=total, left=left)
        self._bars.update(self._tasks[name], description=text, completed=done, left=left)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_stopping:
            os._exit(CANCELLED_CODE)
        self.is_stopping = True
        if self.speaks:
            notes.print("Stopping after this step; press Ctrl+C again to leave at once.")


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def _time_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left"
