from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from app.actions import ACTIONS, FACTS, PRESETS, TOOLBAR, ActionSet, tooltip_of


@pytest.fixture
def window(qtbot: QtBot) -> QMainWindow:
    window = QMainWindow()
    qtbot.addWidget(window)
    return window


def test_no_two_actions_share_a_shortcut() -> None:
    counts = Counter(keys for row in ACTIONS for keys in row.shortcut.split())
    assert [keys for keys, count in counts.items() if count > 1] == []


def test_no_two_actions_share_an_id() -> None:
    assert len({row.id for row in ACTIONS}) == len(ACTIONS)


def test_actions_need_only_facts_that_exist() -> None:
    assert frozenset().union(*(row.needs for row in ACTIONS)) <= FACTS


def test_every_action_is_in_a_menu() -> None:
    assert [row.id for row in ACTIONS if not row.menu] == []


def test_the_toolbar_holds_actions_with_icons_only() -> None:
    with_icon = {row.id for row in ACTIONS if row.icon}
    assert {action_id for action_id in TOOLBAR if action_id} <= with_icon


def test_every_digit_up_to_six_is_a_window() -> None:
    keys = {row.shortcut for row in ACTIONS if row.id.startswith("window.")}
    assert keys == set("0123456")
    assert {preset.key for preset in PRESETS} == set("123456")


def test_keys_are_those_readers_know() -> None:
    keys = {row.id: row.shortcut.split() for row in ACTIONS}
    assert keys["slice.next"] == ["Down"]
    assert keys["finding.next"] == ["N"]
    assert keys["finding.accept"] == ["Return", "Enter"]
    assert keys["finding.reject"] == ["Backspace"]
    assert keys["view.bare"] == ["Space"]
    assert keys["case.analyse"][0] == "Ctrl+Return"
    assert keys["job.cancel"] == ["Esc"]


def test_qt_understands_every_shortcut(window: QMainWindow) -> None:
    actions = ActionSet(window)
    for row in ACTIONS:
        if row.shortcut and not row.held:
            keys = [sequence.toString() for sequence in actions[row.id].shortcuts()]
            assert keys == row.shortcut.split(), row.id


def test_actions_are_enabled_by_the_facts_they_need(window: QMainWindow) -> None:
    actions = ActionSet(window)
    assert actions["case.open_folder"].isEnabled()
    assert not actions["case.analyse"].isEnabled()
    actions.set_facts(frozenset({"case", "analysable"}))
    assert not actions["case.analyse"].isEnabled()
    actions.set_facts(frozenset({"case", "analysable", "idle"}))
    assert actions["case.analyse"].isEnabled()


def test_choosing_a_menu_entry_tells_its_id(window: QMainWindow, qtbot: QtBot) -> None:
    actions = ActionSet(window)
    with qtbot.waitSignal(actions.triggered) as told:
        actions["help.about"].trigger()
    assert told.args == ["help.about"]


def test_menus_are_filled_from_the_rows(window: QMainWindow) -> None:
    ActionSet(window).fill(window.menuBar())
    titles = [action.text() for action in window.menuBar().actions()]
    assert titles == ["File", "Edit", "View", "Findings", "Training", "Federation", "Help"]


def test_a_tooltip_names_the_key() -> None:
    row = next(row for row in ACTIONS if row.id == "finding.reject")
    assert tooltip_of(row) == "Reject (Backspace)"
