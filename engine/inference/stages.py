"""Time the stages of an analysis, and report them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from engine.progress import OnProgress


class StageClock:
    """Seconds spent by stage, in the order in which the stages first began.

    Args:
        on_progress: Told when a stage begins and ends.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside; a stage that is entered again adds to its time."""
        self._on_progress(name, 0.0)
        started = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - started
        self._on_progress(name, 1.0)
