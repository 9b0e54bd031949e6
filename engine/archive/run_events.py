"""The events of a training, line by line: torn lines wait, senseless ones are passed over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.archive.run_folder import EVENTS_FILE
from engine.run import EpochRecord

# ours: enough for a smooth curve, and a poll that costs nothing
_MAX_STEPS_KEPT = 4000

Event = Mapping[str, Any]
"""One line of a run's events: "event" says its kind, "time" when, in s since 1970."""


@dataclass(frozen=True, slots=True)
class StepTold:
    """A training step as the events tell it.

    Args:
        time_s: When, in s since 1970.
        part: Name of the system that is fitted; a localiser comes before the one it serves.
        epoch: Counted from 1.
        epochs: Of this part.
        step: Counted from 1, within the epoch.
        steps: Of one epoch.
        losses: By task; what was not a finite number is left out.
        weights: Task weights of the balancer.
        remaining_s: Until this part is trained; None where it is not known yet.
    """

    time_s: float
    part: str
    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    remaining_s: float | None


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a trial step before the first epoch found.

    Args:
        needed_bytes: Largest memory the training is expected to use.
        free_bytes: What there is.
        step_s: Seconds of one step; None where it was not timed.
        text: The same in words.
    """

    needed_bytes: int
    free_bytes: int
    step_s: float | None
    text: str


class EventTail:
    """Reads the events of a run that were not there at the last look.

    Args:
        folder: Of the run; its events may not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS_FILE
        self._offset = 0

    def read(self) -> tuple[Event, ...]:
        """Return the new events; a half-written last line waits for the next look."""
        return tuple(event for line in self.lines() if (event := event_of(line)) is not None)

    def lines(self) -> list[bytes]:
        """Return the new lines, undecoded."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    # Another run was begun in this place.
                    self._offset = 0
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return []
        whole = content.rfind(b"\n") + 1
        self._offset += whole
        return content[:whole].splitlines()


class Story:
    """What the events told so far; an event that makes no sense is passed over."""

    def __init__(self) -> None:
        self.histories: dict[str, list[EpochRecord]] = {}
        self.steps: list[StepTold] = []
        self.stage = ""
        self.fraction = 0.0
        self.remaining_s: float | None = None
        self.dry_run: DryRun | None = None
        self.alarms: dict[str, None] = {}
        self.pictures: dict[int, str] = {}

    def hear(self, event: Event | None) -> None:
        """Take in one event."""
        if event is None:
            return
        listen = {
            "progress": self._hear_progress,
            "dry_run": self._hear_dry_run,
            "step": self._hear_step,
            "epoch": self._hear_epoch,
            "picture": self._hear_picture,
            "alarm": self._hear_alarm,
        }.get(str(event["event"]))
        if listen is None:
            return
        try:
            listen(event)
        except (KeyError, TypeError, ValueError):
            return

    def _hear_progress(self, event: Event) -> None:
        self.stage, self.fraction = str(event["stage"]), float(event["fraction"])
        if self.fraction >= 1.0:
            self.stage = ""

    def _hear_dry_run(self, event: Event) -> None:
        needed, free = int(event["needed_bytes"]), int(event["free_bytes"])
        step_s = _number_or_none(event.get("step_s"))
        self.dry_run = DryRun(needed, free, step_s, str(event["text"]))

    def _hear_step(self, event: Event) -> None:
        step = StepTold(
            time_s=float(event["time"]),
            part=str(event["part"]),
            epoch=int(event["epoch"]),
            epochs=int(event["epochs"]),
            step=int(event["step"]),
            steps=int(event["steps"]),
            losses=_numbers(event["losses"]),
            weights=_numbers(event["weights"]),
            remaining_s=_number_or_none(event.get("remaining_s")),
        )
        self.stage, self.remaining_s = "", step.remaining_s
        self.steps.append(step)
        if len(self.steps) > _MAX_STEPS_KEPT:
            self.steps[:] = self.steps[len(self.steps) % 2 :: 2]

    def _hear_epoch(self, event: Event) -> None:
        record = EpochRecord(
            epoch=int(event["epoch"]),
            losses=_numbers(event["losses"]),
            scores=_numbers(event["scores"]),
            elapsed_s=float(event["elapsed_s"]),
            weights=_numbers(event["weights"]),
            learning_rate=float(event["learning_rate"]),
            samples_per_s=float(event["samples_per_s"]),
            memory_bytes=int(event["memory_bytes"]),
        )
        known = self.histories.setdefault(str(event["part"]), [])
        # A resumed run repeats the epochs that its last checkpoint did not know.
        known[:] = [earlier for earlier in known if earlier.epoch < record.epoch] + [record]
        self.stage, self.remaining_s = "", _number_or_none(event.get("remaining_s"))

    def _hear_picture(self, event: Event) -> None:
        # The name alone: a folder that was moved, or made up, points nowhere else.
        self.pictures[int(event["epoch"])] = Path(str(event["file"])).name

    def _hear_alarm(self, event: Event) -> None:
        self.alarms[str(event["text"])] = None


def event_of(line: bytes) -> Event | None:
    """Return the event of one line; None where the line was torn."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items() if value is not None}


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)
