"""What tests of controllers share: a mocked window and a runner that runs when told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.panels.jobs import JobsBar
from app.views.view_grid import ViewGrid
from engine.errors import IsletError


class FakeTasks:
    """Keeps work until it is told to run it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable, Callable]] = []

    def run(self, work: Callable[[], Any], *, on_success: Callable, on_failure: Callable) -> None:
        self.waiting.append((work, on_success, on_failure))

    def run_next(self) -> None:
        work, on_success, on_failure = self.waiting.pop(0)
        try:
            result = work()
        except IsletError as error:
            on_failure(error)
        else:
            on_success(result)

    def run_all(self) -> None:
        while self.waiting:
            self.run_next()


class FakeWindow(QWidget):
    """Stands for the main window, as far as controllers know it."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = Mock(spec=ViewGrid)
        self.jobs = Mock(spec=JobsBar)
        self.begin_job = Mock()
        self.end_job = Mock()
        self.show_recents = Mock()


@pytest.fixture
def tasks() -> FakeTasks:
    return FakeTasks()


@pytest.fixture
def fake_window(qtbot: QtBot) -> FakeWindow:
    window = FakeWindow()
    qtbot.addWidget(window)
    return window
