"""Work with a bar on the terminal, and Ctrl+C that stops it at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import NoReturn, TypeVar

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.cli.console import CANCELLED_CODE, notes
from engine.progress import OnProgress

T = TypeVar("T")
_LOOK_EVERY_S = 0.1


def with_progress(
    work: Callable[[OnProgress], T], *, cancelled: str = "Cancelled. Nothing was written."
) -> T:
    """Run `work` while one bar per stage shows how far it is and how long it still takes.

    Ctrl+C ends the whole process with exit code 130, also in the middle of a long native call;
    so `work` computes, and whoever called writes the result afterwards.

    Args:
        work: Runs on a thread of its own.
        cancelled: Said after Ctrl+C; another sentence for work that may stop at any moment.
    """
    pool = ThreadPoolExecutor(max_workers=1)
    with _bars() as bars:
        future = pool.submit(work, _reporter(bars))
        try:
            return _wait_for(future)
        except KeyboardInterrupt:
            bars.stop()
            _leave_at_once(cancelled)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=notes,
    )


def _reporter(bars: Progress) -> OnProgress:
    tasks = {}

    def report(stage: str, fraction: float) -> None:
        if stage not in tasks:
            # A new stage means that the earlier ones are over, also where they did not say so.
            for task in tasks.values():
                bars.update(task, completed=1.0)
            tasks[stage] = bars.add_task(stage[:1].upper() + stage[1:], total=1.0)
        bars.update(tasks[stage], completed=fraction)

    return report


def _wait_for(future: Future[T]) -> T:
    # A wait without a timeout would not hear Ctrl+C on every platform.
    while True:
        try:
            return future.result(timeout=_LOOK_EVERY_S)
        except NotYet:
            if future.done():
                return future.result()


def _leave_at_once(cancelled: str) -> NoReturn:
    notes.print(cancelled, soft_wrap=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # The worker thread may sit in one convolution for seconds; sys.exit would wait for it.
    os._exit(CANCELLED_CODE)
