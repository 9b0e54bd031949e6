from __future__ import annotations

from PySide6.QtWidgets import QDialogButtonBox
from pytestqt.qtbot import QtBot

from app.dialogs.form import Field, FormDialog


def test_a_form_is_complete_when_every_needed_value_is_there(qtbot: QtBot) -> None:
    fields = (
        Field("name", "Name"),
        Field("size", "Size", "choice", "small", ("toy", "small")),
        Field("sites", "Sites", "file", is_needed=False),
    )
    form = FormDialog(None, "Begin", "What it is for.", fields, "Start")
    qtbot.addWidget(form)
    start = form.buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert start.text() == "Start"
    assert not start.isEnabled()
    form.give("name", "  north ")
    assert start.isEnabled()
    form.give("size", "toy")
    assert form.values == {"name": "north", "size": "toy", "sites": ""}
