"""Start trainings as processes of their own, which outlive the window that started them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QObject, QProcess

from engine.archive.run_folder import LOG_FILE
from engine.errors import IsletError

log = logging.getLogger(__name__)

_KILL_MS = 3000
_MAX_WORDS = 2


class RunStartError(IsletError):
    """A training whose process cannot be started."""

    def __init__(self) -> None:
        super().__init__(
            "The training could not be started.",
            remedy="Check that there is room on the disk, or install Islet again.",
        )


class AnswerError(IsletError):
    """A command that ended without an answer."""

    def __init__(self) -> None:
        super().__init__(
            "The command ended without an answer.",
            remedy="Try again; if it happens again, run it in a terminal to see why.",
        )


def islet_command() -> tuple[str, ...]:
    """Return what `islet` is called by: this very program in its role at the command line."""
    if getattr(sys, "frozen", False):
        return (sys.executable,)
    return (sys.executable, "-m", "engine.cli")


class Launcher:
    """Starts processes that go on when this one ends, and buries those that end before it."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], run_folder: Path) -> tuple[int, float]:
        """Start `command` in a session of its own; what it says goes to the run's log.

        Args:
            command: Program and arguments.
            run_folder: Made where it is missing.

        Returns:
            Its process id, and when it began in s since 1970.

        Raises:
            RunStartError: If it does not start.
        """
        try:
            run_folder.mkdir(parents=True, exist_ok=True)
            with (run_folder / LOG_FILE).open("ab") as said:
                child = subprocess.Popen(
                    tuple(command),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
        except OSError as error:
            raise RunStartError from error
        self._children.append(child)
        log.info("Started a training, process %d", child.pid)
        try:
            return child.pid, psutil.Process(child.pid).create_time()
        except psutil.Error:
            # It has ended already; its log says why.
            return child.pid, 0.0

    def bury(self) -> None:
        """Take note of the children that have ended, which the system keeps until then."""
        self._children = [child for child in self._children if child.poll() is None]

    def let_go(self) -> None:
        """Leave the children that go on to themselves."""
        self.bury()
        for child in self._children:
            # Popen warns of a child that nobody waits for, which is what is meant here.
            child.returncode = 0
        self._children = []


def last_words(text: str) -> tuple[str, str]:
    """Return the message and the remedy a command ends with; empty where it said neither."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    sentences = [line for line in lines[-_MAX_WORDS:] if line[-1] in ".!?"]
    return (sentences[0], sentences[1]) if len(sentences) == _MAX_WORDS else ("", "")


class Question(QObject):
    """Asks a short-lived `islet` process for one JSON answer; one at a time.

    Args:
        parent: Qt's owner.
        command: What `islet` is called by.
    """

    def __init__(self, parent: QObject | None = None, command: Sequence[str] | None = None) -> None:
        super().__init__(parent)
        self.command = tuple(islet_command() if command is None else command)
        self._asker: _Asker | None = None
        # One for all questions, and no closures over it: PySide was seen to crash (about once in
        # 25 runs) where a process was deleted later and its signals held the last reference.
        self._process = QProcess(self)
        self._process.setStandardInputFile(QProcess.nullDevice())
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_error)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is waited for."""
        return self._asker is not None

    def ask(
        self,
        words: Sequence[str],
        *,
        on_success: Callable[[Any], None],
        on_failure: Callable[[IsletError], None],
    ) -> None:
        """Run `islet WORDS`; an earlier question is dropped without a word.

        Args:
            words: What follows `islet`; must make it write JSON to stdout.
            on_success: Receives what was written.
            on_failure: Receives what went wrong, in the command's own words where it has any.
        """
        self.drop()
        self._asker = _Asker(on_success, on_failure)
        self._process.start(self.command[0], [*self.command[1:], *words])

    def drop(self) -> None:
        """Forget the question, and end its process."""
        self._asker = None
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.kill()
            self._process.waitForFinished(_KILL_MS)

    def _on_finished(self) -> None:
        asker, self._asker = self._asker, None
        if asker is None:
            return
        answer = bytes(self._process.readAllStandardOutput().data())
        said = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        try:
            value = json.loads(answer)
        except ValueError:
            message, remedy = last_words(said)
            asker.on_failure(IsletError(message, remedy=remedy) if message else AnswerError())
            return
        asker.on_success(value)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        # Every other error ends in `finished`.
        if error != QProcess.ProcessError.FailedToStart:
            return
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.on_failure(AnswerError())


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who waits for an answer."""

    on_success: Callable[[Any], None]
    on_failure: Callable[[IsletError], None]
