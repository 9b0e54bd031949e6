"""Islet's own program, started as a user would start it, and eyes on the runs it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from engine.archive.run_folder import EVENTS_FILE

# Generous: a machine of the CI has two slow cores and other things to do.
PATIENCE_S = 600.0
_LOOK_S = 0.002
_ROOT = Path(__file__).resolve().parents[2]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Islet:
    """The program, with a home of its own.

    Args:
        home: Takes what it remembers: settings, caches, registered systems.
    """

    def __init__(self, home: Path) -> None:
        self._env = {
            **os.environ,
            **dict.fromkeys(_THREADS, "1"),
            **{f"XDG_{kind}_HOME": str(home / kind) for kind in ("CONFIG", "DATA", "STATE")},
            "XDG_CACHE_HOME": str(home / "CACHE"),
            "PYTHONFAULTHANDLER": "1",
            "QT_QPA_PLATFORM": "offscreen",
            # A table is not folded where nobody looks.
            "COLUMNS": "200",
        }

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start it with `words`; its group is its own, so that Ctrl+C reaches it alone."""
        return subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *map(str, words)],
            env=self._env,
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end, and fail with its last words where that is not as expected."""
        process = self.start(*words)
        try:
            said, noted = process.communicate(timeout=PATIENCE_S)
        finally:
            end(process)
        assert process.returncode == code, f"{words}\n{said[-2000:]}\n{noted[-4000:]}"
        return subprocess.CompletedProcess(process.args, process.returncode, said, noted)

    def json(self, *words: object) -> Any:
        """Return what it says with --json."""
        return json.loads(self.run(*words, "--json").stdout)


def events(run: Path) -> list[dict[str, Any]]:
    """Return every whole event of a run."""
    path = run / EVENTS_FILE
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str], what: str) -> None:
    """Wait for what a program does; fail with its last words where it ended or hangs."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if process.poll() is not None:
            raise AssertionError(f"It ended before {what}:\n{process.communicate()[1][-4000:]}")
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(_LOOK_S)


def hold_within_an_epoch(process: subprocess.Popen[str], run: Path, part: str, epoch: int) -> None:
    """Halt a training in the middle of `epoch` of `part`, or of a later one."""

    def is_within() -> bool:
        if not _is_within(run, part, epoch):
            return False
        # It may have gone on while we looked: hold it, and look again.
        _signal(process, signal.SIGSTOP)
        if _is_within(run, part, epoch):
            return True
        _signal(process, signal.SIGCONT)
        return False

    wait_until(is_within, process, f"epoch {epoch} of {part}")


def let_go(process: subprocess.Popen[str]) -> None:
    """Let a held program go on."""
    _signal(process, signal.SIGCONT)


def end(process: subprocess.Popen[str]) -> None:
    """Leave nothing of a program behind."""
    for member in members(process):
        member.kill()
    process.kill()
    process.wait(timeout=60)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def members(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that a program has started."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_within(run: Path, part: str, epoch: int) -> bool:
    told = events(run)
    if not told or told[-1]["event"] != "step":
        return False
    last = told[-1]
    return last["part"] == part and last["epoch"] >= epoch and last["step"] < last["steps"]


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # Not to a group: what torchrun starts has groups of its own.
    for member in (psutil.Process(process.pid), *members(process)):
        member.send_signal(number)
