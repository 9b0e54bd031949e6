"""Tell both the run's folder and the terminal how a training goes."""

from __future__ import annotations

from pathlib import Path

from engine.errors import CancelledError
from engine.run import EpochRecord, RunState
from engine.training.dry_run import DryRun
from engine.training.events import RunLog
from engine.training.follow import Follower, StepRecord, Wish


class RunFollower:
    """Passes everything to the run's own log, and on to whoever else follows.

    Args:
        run: Writes the folder.
        beside: Another follower, such as the terminal's.
    """

    def __init__(self, run: RunLog, beside: Follower) -> None:
        self._run = run
        self._beside = beside

    def on_dry_run(self, runs: tuple[DryRun, ...]) -> None:
        """Write what the largest part will need."""
        largest = max(runs, key=lambda run: run.needed_bytes)
        self._run.on_dry_run(
            needed_bytes=largest.needed_bytes, free_bytes=largest.free_bytes, text=largest.text
        )

    def on_progress(self, stage: str, fraction: float) -> None:
        """Pass on how far a stage is; one that the folder asks to stop ends here."""
        if self._run.wanted() == "stop":
            raise CancelledError
        self._run.on_progress(stage, fraction)
        self._beside.on_progress(stage, fraction)

    def on_step(self, record: StepRecord) -> None:
        """Pass on a finished step."""
        self._run.on_step(record)
        self._beside.on_step(record)

    def on_epoch(self, part: str, epochs: int, record: EpochRecord) -> None:
        """Pass on a finished epoch."""
        self._run.on_epoch(part, epochs, record)
        self._beside.on_epoch(part, epochs, record)

    def on_alarm(self, text: str) -> None:
        """Pass on an alarm."""
        self._run.on_alarm(text)
        self._beside.on_alarm(text)

    def on_pause(self, *, is_paused: bool) -> None:
        """Say that the training waits, or goes on."""
        self._run.set_state(RunState.PAUSED if is_paused else RunState.RUNNING)
        self._beside.on_pause(is_paused=is_paused)

    def picture_path(self, epoch: int) -> Path | None:
        """Put pictures into the run's folder."""
        return self._run.picture_path(epoch)

    def on_picture(self, epoch: int, path: Path) -> None:
        """Pass on that a picture is there."""
        self._run.on_picture(epoch, path)
        self._beside.on_picture(epoch, path)

    def wanted(self) -> Wish:
        """Obey the terminal first, then whoever wrote into the folder."""
        wish = self._beside.wanted()
        return self._run.wanted() if wish == "run" else wish
