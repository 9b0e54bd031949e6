from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from app import theme
from app.actions import ACTIONS
from app.dialogs.about import AboutDialog
from app.dialogs.frame import Buttons
from app.dialogs.keys import KeysDialog, key_text
from app.dialogs.message import MessageDialog
from app.dialogs.reject_reason import REASONS, RejectReasonDialog
from app.dialogs.research_use import ResearchUseDialog
from app.dialogs.series_picker import SeriesPickerDialog
from engine.errors import IsletError
from tests.app.make import make_source

_ERROR = IsletError("The series has a gap.", remedy="Export it again.")


def _texts(widget: QWidget) -> str:
    return "\n".join(label.text() for label in widget.findChildren(QLabel))


def test_an_error_is_told_with_what_to_do_about_it(qtbot: QtBot) -> None:
    dialog = MessageDialog(None, _ERROR)
    qtbot.addWidget(dialog)
    assert _ERROR.message in _texts(dialog)
    assert dialog.remedy.text() == _ERROR.remedy


def test_details_of_an_error_can_be_copied(qtbot: QtBot) -> None:
    dialog = MessageDialog(None, _ERROR, "main.py line 3")
    qtbot.addWidget(dialog)
    dialog.copy_button.click()
    copied = QGuiApplication.clipboard().text()
    assert copied == "The series has a gap.\nExport it again.\n\nmain.py line 3"


def test_a_finding_is_not_rejected_without_a_reason(qtbot: QtBot) -> None:
    dialog = RejectReasonDialog(None, "lesion 1")
    qtbot.addWidget(dialog)
    reject = dialog.buttons.button(Buttons.Ok)
    assert not reject.isEnabled()
    dialog.choose(2)
    assert reject.isEnabled()
    assert dialog.reason == REASONS[2]


def test_own_words_are_a_reason_too(qtbot: QtBot) -> None:
    dialog = RejectReasonDialog(None, "lesion 1")
    qtbot.addWidget(dialog)
    dialog.own_words.setText("  seen in 2019 ")
    assert dialog.buttons.button(Buttons.Ok).isEnabled()
    assert dialog.reason == "seen in 2019"
    dialog.choose(0)
    assert dialog.reason == f"{REASONS[0]}: seen in 2019"


def test_the_best_series_is_proposed(qtbot: QtBot) -> None:
    arterial, venous = make_source("Arterial"), make_source("Venous")
    dialog = SeriesPickerDialog(None, (arterial, venous), venous)
    qtbot.addWidget(dialog)
    assert dialog.chosen == venous
    dialog.list.setCurrentRow(0)
    assert dialog.chosen == arterial


def test_the_key_sheet_names_every_key(qtbot: QtBot) -> None:
    dialog = KeysDialog(None)
    qtbot.addWidget(dialog)
    texts = _texts(dialog).split("\n")
    missing = [row.id for row in ACTIONS if row.shortcut and key_text(row) not in texts]
    assert missing == []


def test_about_says_that_it_is_for_research_only(qtbot: QtBot) -> None:
    dialog = AboutDialog(None)
    qtbot.addWidget(dialog)
    assert theme.RESEARCH_USE in _texts(dialog)
    assert "Apache License 2.0" in _texts(dialog)


def test_the_first_run_notice_must_be_accepted(qtbot: QtBot) -> None:
    dialog = ResearchUseDialog(None)
    qtbot.addWidget(dialog)
    assert "not a medical device" in _texts(dialog)
    dialog.buttons.button(Buttons.Ok).click()
    assert dialog.result() == ResearchUseDialog.DialogCode.Accepted
