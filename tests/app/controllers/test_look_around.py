from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.actions import PRESETS, ActionSet
from app.controllers import look_around
from app.controllers.look_around import LookAround
from app.session import DEFAULT_WINDOW_HU, Session
from app.views.view_grid import ViewGrid
from tests.app.make import make_case


class Room(QWidget):
    """A window with panes that only remember what they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.actions_by_id = ActionSet(self)
        self.grid = Mock(spec=ViewGrid)
        self.grid.menu_requested = Mock()
        self.session = Session()
        self.looker = LookAround(self.session, self)

    def do(self, action_id: str) -> None:
        self.looker.verbs()[action_id]()


@pytest.fixture
def room(qtbot: QtBot) -> Room:
    room = Room()
    qtbot.addWidget(room)
    return room


@pytest.mark.parametrize(
    ("action_id", "count"),
    [("slice.previous", -1), ("slice.next", 1), ("slice.back", -10), ("slice.forward", 10)],
)
def test_slice_keys_step_through_the_active_pane(room: Room, action_id: str, count: int) -> None:
    room.do(action_id)
    room.grid.step.assert_called_once_with(count)


def test_home_and_end_go_to_the_ends(room: Room) -> None:
    room.do("slice.first")
    room.grid.go_to_end.assert_called_with(last=False)
    room.do("slice.last")
    room.grid.go_to_end.assert_called_with(last=True)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.text)
def test_a_digit_sets_the_window_of_its_preset(room: Room, preset) -> None:
    room.do(f"window.{preset.key}")
    assert room.session.window_hu == (preset.width, preset.centre)


def test_zero_returns_to_the_window_of_the_file_or_else_to_the_abdomen(room: Room) -> None:
    room.session.open_case(replace(make_case(), window=(350.0, 60.0)))
    room.do("window.4")
    room.do("window.0")
    assert room.session.window_hu == (350.0, 60.0)
    room.session.open_case(make_case())
    room.do("window.4")
    room.do("window.0")
    assert room.session.window_hu == DEFAULT_WINDOW_HU


def test_masks_are_hidden_together_and_come_back_together(room: Room) -> None:
    room.session.open_case(make_case(with_labels=True))
    room.do("view.masks")
    assert not any(layer.visible for layer in room.session.layers)
    room.do("view.masks")
    assert all(layer.visible for layer in room.session.layers)


def test_without_its_fill_a_mask_keeps_an_outline(room: Room) -> None:
    room.session.open_case(make_case(with_labels=True))
    room.session.set_all_layers(outlined=False)
    room.do("view.fill")
    assert all(layer.outlined and not layer.filled for layer in room.session.layers)


def test_the_crosshair_is_on_at_first_and_follows_its_switch(room: Room) -> None:
    switch = room.actions_by_id["view.crosshair"]
    assert switch.isChecked()
    switch.setChecked(False)
    room.do("view.crosshair")
    room.grid.set_crosshair_shown.assert_called_once_with(False)


def test_layouts_and_sides_reach_the_panes(room: Room) -> None:
    room.do("layout.planes")
    room.grid.set_layout.assert_called_once_with("planes")
    room.do("camera.head")
    room.grid.set_camera.assert_called_once_with("head")


def test_full_screen_is_left_as_it_was_entered(room: Room) -> None:
    room.do("view.fullscreen")
    assert room.isFullScreen()
    room.do("view.fullscreen")
    assert not room.isFullScreen()


class ChosenMenu:
    """A menu whose last entry is chosen."""

    shown: ClassVar[list[str]] = []

    def __init__(self, _parent: QWidget) -> None:
        self.entries: list[QAction] = []
        self.addSeparator = self.deleteLater = Mock()

    def addAction(self, entry: QAction | str) -> QAction:
        self.entries.append(entry if isinstance(entry, QAction) else QAction(entry))
        return self.entries[-1]

    def exec(self, _position: QPoint) -> None:
        ChosenMenu.shown = [entry.text() for entry in self.entries]
        self.entries[-1].trigger()


def test_the_menu_of_a_pane_copies_the_density_under_the_pointer(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_around, "QMenu", ChosenMenu)
    show_menu = room.grid.menu_requested.connect.call_args.args[0]
    show_menu(QPoint(), SimpleNamespace(hu=-12.0))
    assert ChosenMenu.shown[-1] == "Copy −12 HU"
    assert "Crosshair" in ChosenMenu.shown
    assert QGuiApplication.clipboard().text() == "−12"
