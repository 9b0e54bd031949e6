"""Open a folder or file: find its series, show a first slice, read the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog

from app.dialogs.series_picker import SeriesPickerDialog
from app.main_window import MainWindow
from app.panels.source_text import can_open
from app.session import Session
from app.settings import SettingsStore
from app.tasks.task import TaskRunner
from engine.case import Case
from engine.data.source import Source, best_source, find_sources, first_look, read_case
from engine.errors import CancelledError, IsletError
from engine.progress import OnProgress
from engine.volume import Volume

log = logging.getLogger(__name__)

_FILE_FILTER = "Images (*.nii *.nii.gz *.nrrd *.mha *.dcm);;All files (*)"
ShowError = Callable[[IsletError], None]


class OpenCase(QObject):
    """Opens cases; only the newest request counts, an older one is abandoned.

    Args:
        session: Receives the case.
        window: Shows the progress.
        tasks: Runs the reading.
        store: Remembers the recents.
        show_error: Tells the user what went wrong.
        asks: Whether to ask which of several CTs to open; otherwise the longest is taken.
    """

    settled = Signal()
    _progressed = Signal(int, str, float)

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        tasks: TaskRunner,
        store: SettingsStore,
        *,
        show_error: ShowError,
        asks: bool = True,
    ) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._tasks = tasks
        self._store = store
        self._show_error = show_error
        self._asks = asks
        self._request = 0
        self._is_reading = False
        # Progress is told on a pool thread; the signal brings it to this one.
        self._progressed.connect(self._on_progressed)

    def verbs(self) -> dict[str, Callable[[], None]]:
        """Return what this controller does, by action."""
        recents = {
            f"recent.{number}": lambda number=number: self._open_recent(number)
            for number in range(1, 6)
        }
        return {
            "case.open_folder": self._choose_folder,
            "case.open_file": self._choose_file,
            "case.close": self._close,
            **recents,
        }

    @property
    def is_reading(self) -> bool:
        """Whether a case is being opened."""
        return self._is_reading

    def open(self, path: Path) -> None:
        """Open what is at `path`, asking where it holds several CTs."""
        request = self._begin()
        self._tasks.run(
            lambda: find_sources(path, self._reporter(request)),
            on_success=lambda sources: self._on_found(request, path, sources),
            on_failure=lambda error: self._on_failed(request, error),
        )

    def open_source(self, source: Source, sources: tuple[Source, ...]) -> None:
        """Open one series of those found before."""
        self._read(self._begin(), source, sources)

    def cancel(self) -> None:
        """Stop reading; the case that was open stays."""
        if self._is_reading:
            self._request += 1
            self._end()

    def _begin(self) -> int:
        self._request += 1
        self._is_reading = True
        self._window.begin_job("Opening")
        return self._request

    def _end(self, error: IsletError | None = None) -> None:
        self._is_reading = False
        self._window.end_job()
        if error is not None and not isinstance(error, CancelledError):
            self._show_error(error)
        self.settled.emit()

    def _on_found(self, request: int, path: Path, sources: tuple[Source, ...]) -> None:
        if request != self._request:
            return
        try:
            best = best_source(sources)
        except IsletError as error:
            self._session.show_series(sources, None)
            self._on_failed(request, error)
            return
        source = self._ask_which(sources, best)
        if source is None:
            self._end()
            return
        self._remember(path)
        self._read(request, source, sources)

    def _ask_which(self, sources: tuple[Source, ...], best: Source) -> Source | None:
        if not self._asks or sum(can_open(source) for source in sources) < 2:
            return best
        dialog = SeriesPickerDialog(self._window, sources, best)
        return dialog.chosen if dialog.exec() else None

    def _read(self, request: int, source: Source, sources: tuple[Source, ...]) -> None:
        self._session.open_case(None)
        self._session.show_series(sources, source)
        # The first slice goes first, so that it never waits behind the whole volume.
        self._tasks.run(
            lambda: first_look(source),
            on_success=lambda look: self._on_first_look(request, source, look),
            on_failure=lambda _: self._on_first_look(request, source, None),
        )

    def _on_first_look(self, request: int, source: Source, look: Volume | None) -> None:
        if request != self._request:
            return
        if look is not None:
            self._session.show_first_look(look)
        self._tasks.run(
            lambda: read_case(source, self._reporter(request)),
            on_success=lambda case: self._on_read(request, case),
            on_failure=lambda error: self._on_failed(request, error),
        )

    def _on_read(self, request: int, case: Case) -> None:
        if request != self._request:
            return
        log.info("Opened %s with %d slices", case.case_id, case.volume.geometry.shape[0])
        self._session.open_case(case)
        self._end()

    def _on_failed(self, request: int, error: IsletError) -> None:
        if request == self._request:
            self._end(error)

    def _reporter(self, request: int) -> OnProgress:
        def report(stage: str, fraction: float) -> None:
            if request != self._request:
                raise CancelledError
            self._progressed.emit(request, stage, fraction)

        return report

    def _on_progressed(self, request: int, stage: str, fraction: float) -> None:
        if request == self._request and self._is_reading:
            self._window.jobs.show_progress(stage, fraction)

    def _remember(self, path: Path) -> None:
        self._store.update(self._store.settings.with_recent(path.resolve()))
        self._window.show_recents(self._store.settings.recents)

    def _open_recent(self, number: int) -> None:
        recents = self._store.settings.recents
        if number <= len(recents):
            self.open(recents[number - 1])

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self._window, "Open folder", self._start_folder())
        if chosen:
            self.open(Path(chosen))

    def _choose_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self._window, "Open file", self._start_folder(), _FILE_FILTER
        )
        if chosen:
            self.open(Path(chosen))

    def _start_folder(self) -> str:
        recents = self._store.settings.recents
        return str(recents[0].parent if recents else Path.home())

    def _close(self) -> None:
        self.cancel()
        self._session.open_case(None)
        self._session.show_series((), None)
