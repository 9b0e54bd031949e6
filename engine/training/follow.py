"""Who is told how a training goes, and may ask it to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.archive.run_folder import Wish
from engine.run import EpochRecord


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Where a training is.

    Args:
        part: Name of the system that is fitted; a localiser comes before the system it serves.
        epoch: Counted from 1.
        epochs: Of this part.
        step: Counted from 1, within the epoch.
        steps: Of one epoch.
        losses: Of this step, by task.
        weights: Task weights of the balancer.
        remaining_s: Until this part is trained, in seconds; None in the first steps.
    """

    part: str
    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    remaining_s: float | None


class Follower(Protocol):
    """Follows one training."""

    def on_progress(self, stage: str, fraction: float) -> None:
        """Hear how far a stage without epochs is."""
        ...

    def on_step(self, record: StepRecord) -> None:
        """Hear of a finished step."""
        ...

    def on_epoch(self, part: str, epochs: int, record: EpochRecord) -> None:
        """Hear of a finished epoch, after its checkpoint is written."""
        ...

    def on_alarm(self, text: str) -> None:
        """Hear, in whole sentences, of something the user should look at."""
        ...

    def on_pause(self, *, is_paused: bool) -> None:
        """Hear that the training waits, or goes on."""
        ...

    def picture_path(self, epoch: int) -> Path | None:
        """Say where sample predictions of an epoch shall be drawn; None where nobody looks."""
        ...

    def on_picture(self, epoch: int, path: Path) -> None:
        """Hear that they are drawn."""
        ...

    def wanted(self) -> Wish:
        """Say whether to go on; asked after every step."""
        ...


class Nobody:
    """A follower that neither listens nor asks for anything."""

    def on_progress(self, stage: str, fraction: float) -> None:
        """Ignore."""

    def on_step(self, record: StepRecord) -> None:
        """Ignore."""

    def on_epoch(self, part: str, epochs: int, record: EpochRecord) -> None:
        """Ignore."""

    def on_alarm(self, text: str) -> None:
        """Ignore."""

    def on_pause(self, *, is_paused: bool) -> None:
        """Ignore."""

    def picture_path(self, epoch: int) -> Path | None:
        """Nobody looks."""
        return None

    def on_picture(self, epoch: int, path: Path) -> None:
        """Ignore."""

    def wanted(self) -> Wish:
        """Go on."""
        return "run"


NOBODY = Nobody()
