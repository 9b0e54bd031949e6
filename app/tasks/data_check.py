"""Check a data set on a thread of its own, and let it end when nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.data.dataset_check import DatasetReport, check_dataset
from engine.errors import CancelledError


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

    def run(self) -> DatasetReport:
        """Read every case.

        Raises:
            CancelledError: If it was cancelled.
            IsletError: If the folder is no data set at all.
        """
        return check_dataset(self._folder, self._report)

    def _report(self, _stage: str, fraction: float) -> None:
        if self._is_cancelled:
            raise CancelledError
        self._on_progress(self._folder, fraction)
