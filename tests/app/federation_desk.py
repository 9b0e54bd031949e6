"""The federation page as somebody uses it, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.controllers.federate import Federate
from app.main_window import MainWindow
from app.session import Session
from app.settings import SettingsStore
from app.tasks.federation_watch import FederationWatch
from app.tasks.run_process import Question
from app.views.view_grid import ViewGrid
from engine.archive.registered import all_systems
from engine.errors import IsletError


class Desk:
    """A federation page with an `islet` behind it, and somebody who answers its forms.

    Args:
        qtbot: Owns the window.
        tmp_path: Takes the settings.
        command: What `islet` is called by.
    """

    def __init__(self, qtbot: QtBot, tmp_path: Path, command: Sequence[str]) -> None:
        self.answers: dict[str, str] | None = {}
        self.titles: list[str] = []
        self.errors: list[IsletError] = []
        self.session = Session()
        self.window = MainWindow(self.session, ViewGrid(), all_systems())
        qtbot.addWidget(self.window)
        ini = QSettings(str(tmp_path / "islet.ini"), QSettings.Format.IniFormat)
        self.store = SettingsStore(ini)
        self.watch = FederationWatch((), self.window)
        self.federate = Federate(
            self.session,
            self.window,
            self.watch,
            Question(self.window, command),
            self.store,
            show_error=self.errors.append,
            asks=False,
            ask=self._answer,
        )
        self._qtbot = qtbot

    def follow(self, folder: Path) -> None:
        self.federate.open_folder(folder)

    def do(self, verb: Callable[[], object]) -> None:
        with self._qtbot.waitSignal(self.federate.settled, timeout=30_000):
            verb()

    def until(self, is_true: Callable[[], bool]) -> None:
        def look() -> bool:
            self.watch.look()
            return is_true()

        self._qtbot.waitUntil(look, timeout=300_000)

    def _answer(self, title: str, _text: str, fields: Any, _verb: str) -> Mapping[str, str] | None:
        self.titles.append(title)
        if self.answers is None:
            return None
        return {field.name: self.answers.get(field.name, field.value) for field in fields}
