"""Keep one engine process running: start it, hear it, end it, and start it again."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from PySide6.QtCore import QObject, QProcess, QTimer, Signal

from app.tasks.engine_errors import EngineStartError, error_of_exit
from engine import wire

log = logging.getLogger(__name__)

# ours: a slow disk may need a minute to load torch for the first time.
_START_LIMIT_MS = 120_000
# ours: waiting times before the second and the third start; after that we give up.
_BACK_OFF_MS = (0, 300, 2000)
_STDERR_LINES_KEPT = 40
_QUIT_MS = 500
_KILL_MS = 3000


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says about itself when it is ready.

    Args:
        pid: Its process id.
        versions: Of Python and the libraries that matter, by name.
        devices: What it can compute on, e.g. ("cpu", "cuda:0").
    """

    pid: int
    versions: Mapping[str, str]
    devices: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", MappingProxyType(dict(self.versions)))


def engine_command() -> tuple[str, ...]:
    """Return the command that starts the engine: this very program in its other role."""
    if getattr(sys, "frozen", False):
        return (sys.executable, "--engine")
    return (sys.executable, "-m", "app", "--engine")


class EngineChild(QObject):
    """One engine process at a time; a dead one is replaced at once, in the background."""

    became_ready = Signal(object)
    """An EngineInfo."""
    event_received = Signal(object)
    """A mapping, as `engine.worker` sent it."""
    died = Signal(object)
    """An IsletError: it ended, and we had not asked for that."""
    gave_up = Signal(object)
    """An IsletError: it ended too often; `revive` tries again."""

    def __init__(self, argv: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._argv = tuple(argv)
        self._is_ready = False
        self._is_killed = False
        self._is_closing = False
        self._deaths = 0
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._start_limit = self._make_timer(self._on_start_limit)
        self._back_off = self._make_timer(self._start)
        self._process = self._make_process()
        self._start()

    @property
    def is_ready(self) -> bool:
        """Whether a request would be heard now."""
        return self._is_ready

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one request to an engine that is ready."""
        self._process.write(wire.encode(request))

    def kill(self) -> None:
        """End what the engine is doing, and the engine; another one takes its place."""
        self._is_ready = False
        self._is_killed = True
        self._process.kill()

    def forgive(self) -> None:
        """Forget earlier deaths: they had a reason that somebody was told."""
        self._deaths = 0

    def revive(self) -> None:
        """Start again after giving up; does nothing while there is an engine."""
        if len(_BACK_OFF_MS) <= self._deaths:
            self._deaths = 0
            self._start()

    def shutdown(self) -> None:
        """End the engine for good: ask by closing its input, then insist."""
        self._is_closing = True
        self._is_ready = False
        self._back_off.stop()
        self._start_limit.stop()
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        self._process.closeWriteChannel()
        if not self._process.waitForFinished(_QUIT_MS):
            self._process.kill()
            self._process.waitForFinished(_KILL_MS)

    def _make_timer(self, on_timeout: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(on_timeout)
        return timer

    def _make_process(self) -> QProcess:
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_stderr)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        return process

    def _start(self) -> None:
        self._is_ready = False
        self._is_killed = False
        self._stderr.clear()
        self._start_limit.start(_START_LIMIT_MS)
        self._process.start(self._argv[0], list(self._argv[1:]))

    def _on_output(self) -> None:
        while self._process.canReadLine():
            event = wire.decode(bytes(self._process.readLine().data()))
            if self._is_killed:
                continue
            if event["event"] == "ready":
                self._on_ready(event)
            else:
                self.event_received.emit(event)

    def _on_ready(self, event: Mapping[str, Any]) -> None:
        self._is_ready = True
        self._start_limit.stop()
        info = EngineInfo(event["pid"], event["versions"], tuple(event["devices"]))
        log.info("Engine ready: torch %s on %s", info.versions.get("torch"), info.devices)
        self.became_ready.emit(info)

    def _on_stderr(self) -> None:
        text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
        self._stderr.extend(text.splitlines())

    def _on_error(self, error: QProcess.ProcessError) -> None:
        # Every other error also ends in `finished`.
        if error == QProcess.ProcessError.FailedToStart:
            self._on_death(-1, was_signal=False)

    def _on_finished(self, exit_code: int, status: QProcess.ExitStatus) -> None:
        if self._is_closing:
            return
        if self._is_killed:
            self._back_off.start(0)
        else:
            self._on_death(exit_code, was_signal=status == QProcess.ExitStatus.CrashExit)

    def _on_death(self, exit_code: int, *, was_signal: bool) -> None:
        self._is_ready = False
        self._start_limit.stop()
        self._deaths += 1
        how = "signal" if was_signal else "exit code"
        log.error("Engine ended with %s %d:\n%s", how, exit_code, "\n".join(self._stderr))
        self.died.emit(error_of_exit(exit_code, was_signal=was_signal))
        if self._deaths < len(_BACK_OFF_MS):
            self._back_off.start(_BACK_OFF_MS[self._deaths])
        else:
            self.gave_up.emit(EngineStartError())

    def _on_start_limit(self) -> None:
        log.error("The engine was not ready after %d s", _START_LIMIT_MS // 1000)
        self._process.kill()
