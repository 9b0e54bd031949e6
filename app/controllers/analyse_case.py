"""Run a system on the open case, and show what it found."""

from __future__ import annotations

import logging
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from app.controllers.review_files import ReviewFiles
from app.main_window import MainWindow
from app.session import Session
from app.tasks.engine_process import EngineProcess
from engine.case import Case
from engine.errors import CancelledError, IsletError
from engine.finding import Prediction

log = logging.getLogger(__name__)


class UnsafeCaseError(IsletError):
    """A case that may be viewed but not analysed."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(
            " ".join(("This case was not analysed.", *reasons)),
            remedy="Export the complete original series from the archive and open it again.",
        )


class AnalyseCase(QObject):
    """Asks the engine process for a prediction; never computes anything itself.

    Args:
        session: Receives the prediction, if its case is still open.
        window: Shows the progress.
        engine: Does the work.
        reviews: Knows what readers decided before.
        show_error: Tells the user what went wrong.
    """

    settled = Signal()

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        engine: EngineProcess,
        reviews: ReviewFiles,
        *,
        show_error: Callable[[IsletError], None],
    ) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._engine = engine
        self._reviews = reviews
        self._show_error = show_error
        self._job_id: int | None = None
        session.case_opened.connect(self._on_case_opened)

    @property
    def is_running(self) -> bool:
        """Whether a case is being analysed."""
        return self._job_id is not None

    def verbs(self) -> dict[str, Callable[[], None]]:
        """Return what this controller does, by action."""
        return {"case.analyse": self.analyse}

    def analyse(self) -> None:
        """Look for lesions in the open case, and show them if it is still open."""
        case = self._session.case
        if case is None or self.is_running:
            return
        if case.volume.unsafe_reasons:
            self._show_error(UnsafeCaseError(case.volume.unsafe_reasons))
            self.settled.emit()
            return
        self._window.begin_job("Finding lesions")
        self._job_id = self._engine.predict(
            case,
            self._session.system_name,
            on_progress=self._window.jobs.show_progress,
            on_success=self._on_predicted,
            on_failure=self._on_failed,
        )

    def cancel(self) -> None:
        """Stop the analysis."""
        if self._job_id is not None:
            self._engine.cancel(self._job_id)

    def _on_predicted(self, prediction: Prediction) -> None:
        self._end()
        for stage, seconds in prediction.seconds.items():
            log.info("%s took %.2f s", stage, seconds)
        self._session.show_prediction(prediction, self._reviews.restore(prediction))
        self.settled.emit()

    def _on_failed(self, error: IsletError) -> None:
        self._end()
        if not isinstance(error, CancelledError):
            self._show_error(error)
        self.settled.emit()

    def _end(self) -> None:
        self._job_id = None
        self._window.end_job()

    def _on_case_opened(self, _case: Case | None) -> None:
        # What nobody waits for any more must not keep the engine from the next case.
        self.cancel()
