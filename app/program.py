"""Puts the program together: session, window, controllers, and what connects them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import platformdirs
from PySide6.QtCore import (
    QByteArray,
    QMessageLogContext,
    QObject,
    QSize,
    Qt,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtWidgets import QApplication

from app import theme
from app.controllers.analyse_case import AnalyseCase
from app.controllers.federate import Federate
from app.controllers.look_around import LookAround
from app.controllers.open_case import OpenCase
from app.controllers.review_files import ReviewFiles
from app.controllers.review_findings import ReviewFindings
from app.controllers.serve_window import ServeWindow
from app.controllers.take_picture import TakePicture
from app.controllers.train_system import TrainSystem
from app.dialogs.message import MessageDialog
from app.dialogs.research_use import ResearchUseDialog
from app.log_file import error_details
from app.main_window import MainWindow
from app.panels.style import PANEL_STYLE
from app.session import Session
from app.settings import SettingsStore
from app.tasks.engine_child import EngineInfo
from app.tasks.engine_process import EngineProcess
from app.tasks.federation_watch import FederationWatch
from app.tasks.run_process import Question
from app.tasks.run_watch import RunWatch
from app.tasks.task import TaskRunner
from app.views.view_grid import ViewGrid
from engine.archive.registered import all_systems, find_system
from engine.archive.runs import runs_folder
from engine.errors import IsletError

log = logging.getLogger(__name__)

# For machines that start the window without a person, such as those that test it.
_ACCEPTED = "ISLET_RESEARCH_USE_ACCEPTED"
_FIRST_SIZE = QSize(1600, 1000)
# Off screen nobody arranges windows, and Qt says so each time one has a smallest size.
_NOISE = "This plugin does not support propagateSizeHints()"


def make_application() -> QApplication:
    """Start Qt with the looks of Islet."""
    qInstallMessageHandler(_say_without_noise)
    app = QApplication(["islet"])
    app.setApplicationName("Islet")
    app.setDesktopFileName("islet")
    theme.apply_theme(app)
    app.setStyleSheet(app.styleSheet() + PANEL_STYLE)
    return app


class Program(QObject):
    """The parts of a running window.

    Args:
        store: The user's settings; None takes those of this computer.
        show_error: Tells the user what went wrong; None opens a dialog.
        asks: Whether questions may be asked.
        engine_argv: Another command that starts the engine.
        islet_argv: Another command than `islet`, which trains.
    """

    def __init__(
        self,
        store: SettingsStore | None = None,
        *,
        show_error: Callable[[IsletError], None] | None = None,
        asks: bool = True,
        engine_argv: tuple[str, ...] | None = None,
        islet_argv: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        report = show_error if show_error is not None else self.show_error
        self.store = store = store if store is not None else SettingsStore()
        self._report = report
        self._asks = asks
        self.session = Session(self)
        self.tasks = TaskRunner(self)
        self.engine = EngineProcess(engine_argv, parent=self)
        # A picture waits for its meshes; a reader does not.
        grid = ViewGrid(run_task=self.tasks.run if asks else None)
        self.window = MainWindow(self.session, grid, all_systems())
        reviews = ReviewFiles(platformdirs.user_data_path("islet") / "reviews")
        self.opener = OpenCase(
            self.session, self.window, self.tasks, store, show_error=report, asks=asks
        )
        self.analyser = AnalyseCase(
            self.session, self.window, self.engine, reviews, show_error=report
        )
        self.reviewer = ReviewFindings(self.session, reviews, parent=self.window)
        self.looker = LookAround(self.session, self.window)
        log_folder = platformdirs.user_log_path("islet")
        self.server = ServeWindow(self.window, log_folder, show_error=report)
        self.trainer = TrainSystem(
            self.session,
            self.window,
            RunWatch(runs_folder(), self, command=islet_argv),
            self.tasks,
            Question(self, islet_argv),
            show_error=report,
            cache_folder=platformdirs.user_cache_path("islet"),
            asks=asks,
        )
        self.federator = Federate(
            self.session,
            self.window,
            FederationWatch(store.settings.federations, self),
            Question(self, islet_argv),
            store,
            show_error=report,
            asks=asks,
        )
        self._verbs = self._collect_verbs()
        self._connect()

    def choose_system(self, name: str) -> None:
        """Choose the system called `name`, or the one chosen last, or the first that is ready.

        Raises:
            UnknownNameError: If there is no system called `name`.
            DamagedRegistrationError: If it was registered here, and is damaged.
        """
        if name:
            find_system(name)
        remembered, systems = self.store.settings.system, self.window.systems
        fallback = remembered if systems.knows(remembered) else systems.first_ready()
        self.session.choose_system(name or fallback)

    def place_window(self, size: tuple[int, int] | None) -> None:
        """Give the window `size` (width, height), or the place and size it had last."""
        remembered = QByteArray(self.store.settings.window_geometry)
        if size is not None:
            self.window.resize(*size)
        elif not self.window.restoreGeometry(remembered):
            room = self.window.screen().availableSize()
            self.window.resize(_FIRST_SIZE.boundedTo(room))

    def perform(self, action_id: str) -> None:
        """Do what the action called `action_id` stands for."""
        self._verbs[action_id]()

    @property
    def action_ids(self) -> frozenset[str]:
        """The actions somebody answers."""
        return frozenset(self._verbs)

    def accepts_research_use(self) -> bool:
        """Ask once whether the user accepts what Islet is for."""
        if self.store.settings.research_use_accepted or os.environ.get(_ACCEPTED):
            return True
        accepted = bool(ResearchUseDialog(self.window).exec())
        self.store.update(replace(self.store.settings, research_use_accepted=accepted))
        return accepted

    def open_at_start(self, path: Path | None, *, analyse: bool) -> None:
        """Open what the command line names, and analyse it once it is open."""
        if path is None:
            return
        if analyse:
            self.opener.settled.connect(
                self.analyser.analyse, Qt.ConnectionType.SingleShotConnection
            )
        self.opener.open(path)

    def take_picture(
        self, target: Path, path: Path | None, *, analyse: bool, on_done: Callable[[], object]
    ) -> None:
        """Save the window at `target` once `path` is open and drawn."""
        picture = TakePicture(
            self.session,
            self.window,
            self.opener,
            self.analyser,
            on_done=on_done,
            show_error=self._report,
        )
        picture.start(target, path, analyse=analyse)

    def show_error(self, error: IsletError, details: str = "") -> None:
        """Tell the user what happened and what to do."""
        MessageDialog(self.window, error, details).exec()

    def catch_bugs(self) -> None:
        """Turn an error nobody expected into a message and a line of the log."""
        sys.excepthook = self._on_bug

    def _collect_verbs(self) -> dict[str, Callable[[], object]]:
        return {
            **self.opener.verbs(),
            **self.analyser.verbs(),
            **self.reviewer.verbs(),
            **self.looker.verbs(),
            **self.server.verbs(),
            **self.trainer.verbs(),
            **self.federator.verbs(),
            "job.cancel": self._cancel_job,
            "series.previous": lambda: self._step_series(-1),
            "series.next": lambda: self._step_series(1),
        }

    def _connect(self) -> None:
        window = self.window
        window.action_requested.connect(self.perform)
        window.open_requested.connect(self.opener.open)
        window.series.source_requested.connect(self._open_series)
        window.closing.connect(self._on_closing)
        window.show_recents(self.store.settings.recents)
        window.systems.system_requested.connect(self._remember_system)
        self.session.system_chosen.connect(self._on_system_chosen)
        self.session.systems_changed.connect(self._on_systems_changed)
        self.engine.ready.connect(self._on_engine_ready)
        if self._asks:
            # A picture is of what it is told to show.
            self.trainer.follow()

    def _open_series(self, source: object) -> None:
        self.opener.open_source(source, self.window.series.list.sources)  # type: ignore[arg-type]

    def _step_series(self, step: int) -> None:
        neighbour = self.window.series.list.neighbour(step)
        if neighbour is not None:
            self._open_series(neighbour)

    def _cancel_job(self) -> None:
        self.opener.cancel()
        self.analyser.cancel()

    def _remember_system(self, name: str) -> None:
        # Only a choice in the window lasts: one on the command line is for this time.
        self.store.update(replace(self.store.settings, system=name))

    def _on_system_chosen(self, name: str) -> None:
        if self.window.systems.can_analyse(name):
            self.engine.warm(name)

    def _on_engine_ready(self, info: EngineInfo) -> None:
        self.window.training.form.offer_devices(info.devices)

    def _on_systems_changed(self) -> None:
        self.window.systems.refresh()
        name = self.session.system_name
        self.choose_system(name if self.window.systems.knows(name) else "")

    def _remember_place(self) -> None:
        if self._asks:
            geometry = bytes(self.window.saveGeometry().data())
            self.store.update(replace(self.store.settings, window_geometry=geometry))

    def _on_closing(self) -> None:
        self._remember_place()
        # From here on a message would wait for a reader who has left.
        sys.excepthook = sys.__excepthook__
        # The stack tells of its own end, when nobody is left to hear it.
        self.session.undo_stack.blockSignals(True)
        self.opener.cancel()
        self.trainer.shutdown()
        self.federator.shutdown()
        self.tasks.close()
        self.engine.shutdown()

    def _on_bug(
        self, kind: type[BaseException], value: BaseException, frames: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self.window.close()
            return
        log.critical("A bug reached the window", exc_info=(kind, value, frames))
        error = IsletError(
            "Something unexpected went wrong.",
            remedy="Save what you need, start Islet again, and report the details.",
        )
        if self._asks:
            self.show_error(error, error_details(kind, frames))
            return
        self._report(error)
        self.window.close()


def _say_without_noise(_kind: QtMsgType, _context: QMessageLogContext, message: str) -> None:
    if message != _NOISE:
        sys.stderr.write(f"{message}\n")
