"""Runs that wait for their turn, kept in one file so that a reopened window goes on with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PySide6.QtCore import QLockFile

from engine.archive.run_folder import RUN_FILE, is_alive, replace_text
from engine.errors import IsletError

QUEUE_FILE = "queue.json"
_LOCK_FILE = ".queue.lock"
# ours: another window holds the lock for as long as it takes to write a small file
_LOCK_MS = 2000


class QueueError(IsletError):
    """The list of waiting runs cannot be written."""

    def __init__(self) -> None:
        super().__init__(
            "The queue of runs cannot be written.",
            remedy="Free some space, or ask for permission to write to Islet's data folder.",
        )


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that waits, or that was started and has not said anything yet.

    Args:
        run_id: Name of its folder.
        data: Folder of its data set.
        arguments: Options of `islet train` by name.
        resumes: Whether it goes on with a run that is there.
        finishes: Whether that run trains no further, and keeps the weights it has.
        pid: Of the process started for it; None while it waits.
        pid_started: When that process began, in s since 1970.
        written_ns: When its run.json had been written last before that, 0 for never.
    """

    run_id: str
    data: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    resumes: bool = False
    finishes: bool = False
    pid: int | None = None
    pid_started: float = 0.0
    written_ns: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    @property
    def is_waiting(self) -> bool:
        """Whether nothing was started for it yet."""
        return self.pid is None

    @property
    def is_starting(self) -> bool:
        """Whether its process is there."""
        return is_alive({"pid": self.pid, "pid_started": self.pid_started})

    def has_arrived(self, folder: Path) -> bool:
        """Return whether its trainer has written into the run's folder."""
        return not self.is_waiting and written_ns(folder) not in (0, self.written_ns)


class RunQueue:
    """The runs that wait, in the order they were asked for.

    Args:
        folder: Holds the runs' folders and the file of the queue.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / QUEUE_FILE

    def read(self) -> tuple[QueuedRun, ...]:
        """Return every entry; a damaged file holds none."""
        try:
            values = json.loads(self._path.read_bytes())
            return tuple(QueuedRun(**value) for value in values)
        except (OSError, ValueError, TypeError):
            return ()

    def put(self, entry: QueuedRun) -> None:
        """Add `entry` at the end; an earlier one of the same run gives way.

        Raises:
            QueueError: If the queue cannot be written.
        """
        self._change(lambda entries: (*_without(entries, entry.run_id), entry))

    def drop(self, run_id: str) -> None:
        """Forget the entry of a run, where there is one.

        Raises:
            QueueError: If the queue cannot be written.
        """
        if any(entry.run_id == run_id for entry in self.read()):
            self._change(lambda entries: _without(entries, run_id))

    def take_next(self, launch: Callable[[QueuedRun], tuple[int, float]]) -> QueuedRun | None:
        """Start the first entry that waits; no other window can start it as well.

        Args:
            launch: Starts its process and returns (pid, when it began).

        Returns:
            The entry as it is now; None where none waits, or another window is at it.

        Raises:
            QueueError: If the queue cannot be written.
        """
        taken: list[QueuedRun] = []

        def take(entries: tuple[QueuedRun, ...]) -> tuple[QueuedRun, ...]:
            first = next((entry for entry in entries if entry.is_waiting), None)
            if first is None or any(e.is_starting for e in entries if not e.is_waiting):
                return entries
            written = written_ns(self._folder / first.run_id)
            pid, began = launch(first)
            taken.append(replace(first, pid=pid, pid_started=began, written_ns=written))
            return tuple(taken[0] if entry is first else entry for entry in entries)

        self._change(take)
        return taken[0] if taken else None

    def _change(self, change: Callable[[tuple[QueuedRun, ...]], tuple[QueuedRun, ...]]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QueueError from error
        lock = QLockFile(str(self._folder / _LOCK_FILE))
        if not lock.tryLock(_LOCK_MS):
            raise QueueError
        try:
            entries = [_as_json(entry) for entry in change(self.read())]
            replace_text(self._path, json.dumps(entries, indent=2) + "\n")
        except OSError as error:
            raise QueueError from error
        finally:
            lock.unlock()


def written_ns(folder: Path) -> int:
    """Return when a run's run.json was written last, in ns; 0 where there is none."""
    try:
        return (folder / RUN_FILE).stat().st_mtime_ns
    except OSError:
        return 0


def _without(entries: tuple[QueuedRun, ...], run_id: str) -> tuple[QueuedRun, ...]:
    return tuple(entry for entry in entries if entry.run_id != run_id)


def _as_json(entry: QueuedRun) -> dict[str, Any]:
    values = {part.name: getattr(entry, part.name) for part in fields(entry)}
    return {**values, "arguments": dict(entry.arguments)}
