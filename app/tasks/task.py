"""Run short engine work off the main thread, and bring the answer back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from PySide6.QtCore import QObject, Signal, Slot

from engine.errors import IsletError

T = TypeVar("T")
log = logging.getLogger(__name__)


class TaskRunner(QObject):
    """Runs engine work on a small pool; every answer lands on the main thread.

    Runners live as long as the window: a signal whose sender is garbage-collected before
    delivery is lost without a word.
    """

    _settled = Signal(object)

    def __init__(self, parent: QObject | None = None, *, num_threads: int = 2) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=num_threads, thread_name_prefix="islet")
        self._settled.connect(self._on_settled)
        self._is_closed = False

    def run(
        self,
        work: Callable[[], T],
        *,
        on_success: Callable[[T], None],
        on_failure: Callable[[IsletError], None],
    ) -> None:
        """Queue `work` and report its outcome on the main thread.

        Args:
            work: Runs on a pool thread. Closes over frozen values only and
                never touches a widget.
            on_success: Receives what `work` returned.
            on_failure: Receives an error that is ready to show.
        """

        def report(future: Future[T]) -> None:
            if not self._is_closed:
                self._settled.emit(lambda: _settle(future, on_success, on_failure))

        self._pool.submit(work).add_done_callback(report)

    def close(self) -> None:
        """Drop what is queued, wait for what is running, and answer nobody any more."""
        self._is_closed = True
        self._pool.shutdown(cancel_futures=True)

    @Slot(object)
    def _on_settled(self, outcome: Callable[[], None]) -> None:
        if not self._is_closed:
            outcome()


def _settle(
    future: Future[T],
    on_success: Callable[[T], None],
    on_failure: Callable[[IsletError], None],
) -> None:
    error = future.exception()
    if error is None:
        on_success(future.result())
    elif isinstance(error, IsletError):
        on_failure(error)
    else:
        log.error("Engine work failed", exc_info=error)
        on_failure(
            IsletError(
                "Something unexpected went wrong.",
                remedy="Try again; if it happens again, report it with the log from the Help menu.",
            )
        )
