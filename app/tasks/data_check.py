"""Check a data set off the main thread, in words the form can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import CancelledError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with one case, or with the whole set.

    Args:
        place: The case; empty for the whole set.
        text: What is wrong, as a sentence.
        is_fatal: Whether training refuses to start because of it.
    """

    place: str
    text: str
    is_fatal: bool = True


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Args:
        summary: How many cases of what kind.
        problems: In the order of the cases.
    """

    summary: str
    problems: tuple[Problem, ...] = ()

    @property
    def num_fatal(self) -> int:
        """Problems that keep training from starting."""
        return sum(problem.is_fatal for problem in self.problems)


def result_of(report: Any) -> CheckResult:
    """Return what a report of the engine says, in words."""
    return CheckResult(str(report))


class Check:
    """One check of a data set; `run` belongs on a thread of its own.

    Args:
        folder: Of the data set.
        on_progress: Called from that thread with (folder, 0 to 1).
    """

    def __init__(self, folder: Path, on_progress: Callable[[Path, float], None]) -> None:
        self._folder = folder
        self._on_progress = on_progress
        self._is_cancelled = False

    def cancel(self) -> None:
        """Let it end at its next case."""
        self._is_cancelled = True

    def run(self) -> CheckResult:
        """Read every case.

        Raises:
            CancelledError: If it was cancelled.
            IsletError: If the folder is no data set at all.
        """
        from engine.data.dataset_check import check_dataset

        return result_of(check_dataset(self._folder, self._report))

    def _report(self, _stage: str, fraction: float) -> None:
        if self._is_cancelled:
            raise CancelledError
        self._on_progress(self._folder, fraction)
