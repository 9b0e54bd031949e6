"""Draw the window into a picture without a reader: open, analyse, wait, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from app.controllers.analyse_case import AnalyseCase
from app.controllers.open_case import OpenCase
from app.controllers.serve_window import PictureError
from app.main_window import MainWindow
from app.session import Session
from engine.errors import IsletError

_POLL_MS = 50
# ours: time for every pane to be painted once more after the last change
_CALM_POLLS = 8


class TakePicture(QObject):
    """Saves the window as a PNG once everything asked for is drawn.

    Args:
        session: What is open.
        window: What is drawn.
        opener: Opens the case.
        analyser: Looks for lesions.
        on_done: Called once, after the picture is saved or could not be.
        show_error: Is told why it could not be saved.
    """

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        opener: OpenCase,
        analyser: AnalyseCase,
        *,
        on_done: Callable[[], object],
        show_error: Callable[[IsletError], None],
    ) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._opener = opener
        self._analyser = analyser
        self._on_done = on_done
        self._show_error = show_error
        self._target = Path()
        self._num_calm = 0
        self._timer = QTimer(self, interval=_POLL_MS)
        self._timer.timeout.connect(self._poll)

    def start(self, target: Path, path: Path | None, *, analyse: bool) -> None:
        """Open what is at `path`, analyse it if asked, and save the window at `target`."""
        self._target = target
        if path is None:
            self._timer.start()
            return
        self._opener.settled.connect(self._analyse if analyse else self._wait)
        self._analyser.settled.connect(self._wait)
        self._opener.open(path)

    def _analyse(self) -> None:
        if self._session.case is None:
            self._on_done()
            return
        self._analyser.analyse()

    def _wait(self) -> None:
        if self._session.case is None:
            self._on_done()
            return
        findings = self._session.findings
        if findings:
            self._session.select_finding(findings[0].finding_id)
        self._timer.start()

    def _poll(self) -> None:
        self._num_calm += 1
        if self._num_calm < _CALM_POLLS:
            return
        self._timer.stop()
        self._save()
        self._on_done()

    def _save(self) -> None:
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            self._show_error(PictureError())
            return
        # The last 3D frame may still be waiting for its timer.
        self._window.grid.finish_frame()
        if not self._window.grab().save(str(self._target), "PNG"):  # pyright: ignore
            self._show_error(PictureError())
