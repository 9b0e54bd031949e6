"""Run a process of FLARE's, follow it, and end it with all that it started.

The process and its children are one process group. Whatever happens is told in the events of the
folder it works in.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.archive.federation import FOLDER_VARIABLE, PROCESS_FILE, process_of, tell
from engine.archive.run_folder import LOG_FILE, is_alive, this_process, write_json
from engine.errors import IsletError
from engine.federated.flare.log_lines import Ear

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2
_SILENT_S = 20.0  # a start takes two to five; see what was measured
_PATIENCE_S = 8.0  # for processes that were asked to end
_UP_FOR_S = 60.0  # ours: one that ends sooner has a reason that a second start does not change
_LARGEST_LOG = 20_000_000
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux

_OFFLINE = (
    "The server of the federation does not answer.",
    "The site goes on by itself when it is back; ask the coordinator if it stays away.",
)


class DidNotStartError(IsletError):
    """FLARE's process said nothing, or ended too soon."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The {what} did not start.",
            remedy="The log in its folder says more; 'islet federate check' looks for the cause.",
        )


class EndedError(IsletError):
    """FLARE's process ended by itself."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The {what} ended by itself.",
            remedy="The log in its folder says more. Nothing is lost: start it again.",
        )


@dataclass(frozen=True, slots=True)
class Service:
    """FLARE's process in one folder.

    Args:
        folder: The coordinator's or the site's.
        what: What a reader calls it.
        command: Program and arguments.
        listen: Makes an ear for a process that is begun.
        diagnose: Returns why it does not start; None where that is not known.
    """

    folder: Path
    what: str
    command: Sequence[str]
    listen: Callable[[], Ear]
    diagnose: Callable[[], IsletError | None]


def follow(service: Service, on_state: Callable[[str], None]) -> None:
    """Run a service until SIGTERM or Ctrl+C; one that was up and ends is begun again.

    Raises:
        IsletError: If it does not start, may not go on, or ends soon after a start.
        KeyboardInterrupt: If it was Ctrl+C, after everything was ended.
    """
    _Follower(service, on_state).run()


class _Follower:
    """Starts a service, and follows it to its end."""

    def __init__(self, service: Service, on_state: Callable[[str], None]) -> None:
        self._service = service
        self._on_state = on_state
        self._state = ""
        self._asked: list[int] = []

    def run(self) -> None:
        """Return when the service was stopped."""
        with self._heeding(signal.SIGTERM), self._heeding(signal.SIGINT):
            try:
                while self._once():
                    text = f"The process of the {self._service.what} ended, and is begun again."
                    tell(self._service.folder, "alarm", text=text)
            except IsletError as error:
                self._say("failed", error.message, error.remedy)
                raise
            self._say("stopped")
        if signal.SIGINT in self._asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _heeding(self, number: signal.Signals) -> Iterator[None]:
        """Take a signal for a wish: an exception in the middle could leave processes behind."""
        before = signal.signal(number, lambda *_: self._asked.append(number))
        try:
            yield
        finally:
            signal.signal(number, before)

    def _once(self) -> bool:
        """Return whether the process ended by itself, but had been up for a while."""
        ear = self._service.listen()
        process, lines, listener = self._start()
        begun = time.monotonic()
        try:
            self._follow(process, ear, lines)
            if not self._asked and time.monotonic() - begun > _UP_FOR_S:
                return True
            if self._asked:
                self._say("stopping")
        finally:
            end_group(process)
            listener.join(_PATIENCE_S)
            write_json(self._service.folder / PROCESS_FILE, this_process())
        if self._asked:
            return False
        known = self._service.diagnose()
        if known is not None:
            raise known
        if ear.state() == "starting":
            raise DidNotStartError(self._service.what)
        raise EndedError(self._service.what)

    def _start(self) -> tuple[subprocess.Popen[str], queue.Queue[str], threading.Thread]:
        service = self._service
        self._say("starting")
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent,
            env=_environment(service.folder),
            cwd=service.folder,
        )
        group = {"group": process.pid, "group_started": psutil.Process(process.pid).create_time()}
        write_json(service.folder / PROCESS_FILE, {**this_process(), **group})
        lines: queue.Queue[str] = queue.Queue()
        listener = threading.Thread(target=self._listen, args=(process, lines), daemon=True)
        listener.start()
        return process, lines, listener

    def _listen(self, process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
        assert process.stdout is not None, "it is a pipe"
        path = self._service.folder / LOG_FILE
        if path.exists() and path.stat().st_size > _LARGEST_LOG:
            path.replace(path.with_stem(f"{path.stem}-before"))
        with process.stdout as said, path.open("a", encoding="utf-8") as log_file:
            for line in said:
                try:
                    log_file.write(line)
                    log_file.flush()
                except OSError:
                    # A full disk must not make the process wait for its reader.
                    log.warning("The log cannot be written")
                lines.put(line)

    def _follow(self, process: subprocess.Popen[str], ear: Ear, lines: queue.Queue[str]) -> None:
        """Return when the process has ended, is silent, or is to be stopped."""
        begun = time.monotonic()
        while not self._asked:
            try:
                ear.hear(lines.get(timeout=_LOOK_EVERY_S))
            except queue.Empty:
                if process.poll() is not None:
                    return
            state = ear.state()
            if state == "starting" and time.monotonic() - begun > _SILENT_S:
                return
            self._say(state, *(_OFFLINE if state == "offline" else ()))

    def _say(self, state: str, message: str = "", remedy: str = "") -> None:
        if state != self._state:
            self._state = state
            tell(self._service.folder, "state", state=state, message=message, remedy=remedy)
            self._on_state(state)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started: asked first, then at once."""
    until = time.monotonic() + _PATIENCE_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        # What it started may need a moment more.
        while _is_group_alive(process.pid) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_leftovers(folder: Path) -> bool:
    """End what a follower that was killed has left running; return whether there was anything."""
    known = process_of(folder)
    group, started = known.get("group"), known.get("group_started")
    if not isinstance(group, int):
        return False
    # While a group lives, Linux gives its number to no other process.
    if psutil.pid_exists(group) and not is_alive({"pid": group, "pid_started": started}):
        return False
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    # Else it would be found again while the system has not buried it.
    write_json(folder / PROCESS_FILE, {n: v for n, v in known.items() if not n.startswith("group")})
    return True


def end_process(folder: Path) -> bool:
    """End the process that works in `folder`, and everything it started.

    Returns:
        Whether there was one.
    """
    known = process_of(folder)
    was_there = is_alive(known)
    if was_there:
        os.kill(known["pid"], signal.SIGTERM)
        until = time.monotonic() + 3 * _PATIENCE_S
        # One that has ended is not alive, even if whoever started it does not hear of it.
        while is_alive(known) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        if is_alive(known):
            os.kill(known["pid"], signal.SIGKILL)
    return end_leftovers(folder) or was_there


def _environment(folder: Path) -> dict[str, str]:
    # Processes of FLARE find Islet wherever they are begun, and nothing else where they work.
    found = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        FOLDER_VARIABLE: str(folder.absolute()),
        "MALLOC_ARENA_MAX": "4",
        "PYTHONPATH": os.pathsep.join(found),
        "PYTHONSAFEPATH": "1",
    }


def _die_with_parent() -> None:
    """Ask Linux to end the process where the one that follows it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)


def _is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
