from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.panels.systems import SystemsPanel
from app.session import Session
from engine.catalogue import SYSTEMS
from engine.finding import Review
from engine.volume import Remark
from tests.app.make import make_case, make_prediction


class FakeGrid(QWidget):
    """Panes that only remember what they were asked to show."""

    cursor_requested = Signal(object)
    window_requested = Signal(float, float)
    finding_requested = Signal(str)
    opacity_requested = Signal(float)
    menu_requested = Signal(QPoint, object)
    status_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        for name in (
            "show_case", "show_notice", "show_first_look", "show_labels", "show_findings",
            "set_cursor", "set_window", "set_layers",
        ):  # fmt: skip
            setattr(self, name, Mock())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def pane(self, _name: str) -> QWidget:
        return self


class Room:
    """A window on fake panes."""

    def __init__(self) -> None:
        self.session = Session()
        self.grid = FakeGrid()
        self.window = MainWindow(self.session, self.grid, tuple(SYSTEMS))
        self.asked: list[str] = []
        self.window.action_requested.connect(self.asked.append)

    def is_enabled(self, action_id: str) -> bool:
        return self.window.actions_by_id[action_id].isEnabled()

    def show(self, qtbot: QtBot) -> None:
        self.window.show()
        self.window.activateWindow()
        qtbot.waitUntil(self.window.isActiveWindow)


@pytest.fixture
def room(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(SystemsPanel, "can_analyse", lambda _self, name: name == "starter")
    room = Room()
    qtbot.addWidget(room.window)
    room.session.choose_system("starter")
    return room


def test_without_a_case_only_opening_makes_sense(room: Room) -> None:
    assert room.is_enabled("case.open_folder")
    assert not room.is_enabled("case.analyse")
    assert not room.is_enabled("slice.next")
    assert not room.is_enabled("finding.next")


def test_an_opened_case_is_shown_and_may_be_analysed(room: Room) -> None:
    case = make_case()
    room.session.open_case(case)
    room.grid.show_case.assert_called_with(case)
    assert room.is_enabled("case.analyse")
    assert room.window.findings.analyse_button.isEnabled()


def test_an_unsafe_case_may_be_viewed_but_not_analysed_and_the_tooltip_says_why(
    room: Room,
) -> None:
    remark = Remark("Two slices are missing.", blocks_analysis=True)
    room.session.open_case(make_case(remarks=(remark,)))
    assert not room.is_enabled("case.analyse")
    assert room.is_enabled("slice.next")
    tooltip = room.window.findings.analyse_button.toolTip()
    assert tooltip == "Not analysed: Two slices are missing."


def test_a_system_without_weights_cannot_analyse(room: Room) -> None:
    room.session.open_case(make_case())
    room.session.choose_system("other")
    assert not room.is_enabled("case.analyse")
    assert "no weights" in room.window.findings.analyse_button.toolTip()
    assert not room.window.findings.obstacle.isHidden()
    assert room.window.findings.obstacle.text() == (
        "The chosen system has no weights on this computer."
    )
    room.session.choose_system("starter")
    assert room.window.findings.obstacle.isHidden()


def test_while_a_case_is_opened_the_panes_say_so_and_stop_when_it_fails(room: Room) -> None:
    room.window.begin_job("Opening")
    room.grid.show_notice.assert_called_with("Opening…")
    room.grid.show_case.reset_mock()
    room.window.end_job()
    room.grid.show_case.assert_called_once_with(None)


def test_an_analysis_leaves_the_panes_alone(room: Room) -> None:
    room.session.open_case(make_case())
    room.grid.show_case.reset_mock()
    room.window.begin_job("Finding lesions")
    room.window.end_job()
    room.grid.show_notice.assert_not_called()
    room.grid.show_case.assert_not_called()


def test_a_note_about_the_reading_is_shown_above_the_panes(room: Room) -> None:
    remark = Remark("The gantry was tilted; the slices were straightened.")
    room.session.open_case(make_case(remarks=(remark,)))
    assert not room.window.banner.isHidden()
    assert room.window.banner.text == remark.message
    assert room.is_enabled("case.analyse")


def test_a_prediction_reaches_panes_and_panels(room: Room) -> None:
    room.session.open_case(make_case())
    prediction = make_prediction()
    room.session.show_prediction(prediction)
    room.grid.show_labels.assert_called_with(prediction.labels, is_ai=True)
    room.grid.show_findings.assert_called_with(prediction.findings, None)
    assert len(room.window.findings.cards) == 2
    assert len(room.window.layers.rows) == 2
    assert room.is_enabled("finding.next")
    assert not room.is_enabled("finding.accept")


def test_clicking_a_finding_moves_every_pane_to_it(room: Room, qtbot: QtBot) -> None:
    room.session.open_case(make_case())
    room.session.show_prediction(make_prediction())
    room.show(qtbot)
    qtbot.mouseClick(room.window.findings.cards[1], Qt.MouseButton.LeftButton)
    room.grid.set_cursor.assert_called_with((20.0, 1.0, 103.0))
    assert room.grid.show_findings.call_args.args[1] == "lesion-2"
    assert room.is_enabled("finding.accept")


def test_clicking_a_finding_in_a_pane_opens_its_card(room: Room) -> None:
    room.session.open_case(make_case())
    room.session.show_prediction(make_prediction())
    room.grid.finding_requested.emit("lesion-2")
    states = [card.property("selected") for card in room.window.findings.cards]
    assert states == [False, True]


def test_space_held_shows_the_bare_picture(room: Room, qtbot: QtBot) -> None:
    room.session.open_case(make_case(with_labels=True))
    room.show(qtbot)
    QTest.keyPress(room.grid, Qt.Key.Key_Space)
    assert not any(layer.visible for layer in room.grid.set_layers.call_args.args[0])
    QTest.keyRelease(room.grid, Qt.Key.Key_Space)
    assert all(layer.visible for layer in room.grid.set_layers.call_args.args[0])


@pytest.mark.parametrize(
    ("key", "action_id"),
    [
        (Qt.Key.Key_Down, "slice.next"),
        (Qt.Key.Key_End, "slice.last"),
        (Qt.Key.Key_3, "window.3"),
        (Qt.Key.Key_N, "finding.next"),
        (Qt.Key.Key_Return, "finding.accept"),
        (Qt.Key.Key_Backspace, "finding.reject"),
        (Qt.Key.Key_F1, "help.keys"),
    ],
)
def test_a_key_asks_for_its_action(room: Room, qtbot: QtBot, key: Qt.Key, action_id: str) -> None:
    room.session.open_case(make_case())
    room.session.show_prediction(make_prediction())
    room.session.select_finding("lesion-1")
    room.show(qtbot)
    QTest.keyClick(room.grid, key)
    assert room.asked == [action_id]


def test_the_key_for_masks_follows_the_layers(room: Room) -> None:
    room.session.open_case(make_case(with_labels=True))
    assert room.window.actions_by_id["view.masks"].isChecked()
    room.session.set_all_layers(visible=False)
    assert not room.window.actions_by_id["view.masks"].isChecked()


def test_while_a_job_runs_it_can_be_cancelled_but_no_other_begun(room: Room) -> None:
    room.session.open_case(make_case())
    room.window.begin_job("Finding lesions")
    assert room.is_enabled("job.cancel")
    assert not room.is_enabled("case.analyse")
    room.window.end_job()
    assert not room.is_enabled("job.cancel")
    assert room.is_enabled("case.analyse")


def test_a_decision_enables_undo(room: Room) -> None:
    room.session.open_case(make_case())
    room.session.show_prediction(make_prediction())
    assert not room.is_enabled("edit.undo")
    room.session.review("lesion-1", Review.CONFIRMED)
    assert room.is_enabled("edit.undo")


def test_recents_are_named_in_the_menu_and_empty_ones_hidden(room: Room) -> None:
    room.window.show_recents((Path("/data/R&D"),))
    first, second = (room.window.actions_by_id[f"recent.{n}"] for n in (1, 2))
    assert first.text() == "R&&D"
    assert first.isVisible()
    assert not second.isVisible()


def test_a_dropped_folder_is_asked_for(room: Room, qtbot: QtBot, tmp_path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    with qtbot.waitSignal(room.window.open_requested) as asked:
        room.window.dropEvent(event)
    assert asked.args == [tmp_path]


def test_several_dropped_files_stand_for_their_folder(
    room: Room, qtbot: QtBot, tmp_path: Path
) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / name)) for name in ("1.dcm", "2.dcm")])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    with qtbot.waitSignal(room.window.open_requested) as asked:
        room.window.dropEvent(event)
    assert asked.args == [tmp_path]


def test_closing_tells_those_who_must_end_in_order(room: Room, qtbot: QtBot) -> None:
    room.show(qtbot)
    with qtbot.waitSignal(room.window.closing):
        room.window.close()


def test_another_prediction_replaces_the_findings(room: Room) -> None:
    room.session.open_case(make_case())
    room.session.show_prediction(make_prediction())
    none_found = replace(make_prediction(), findings=())
    room.session.show_prediction(none_found)
    assert room.window.findings.cards == ()
