"""Asks before something is lost."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QWidget

from app.dialogs.frame import Buttons, FramedDialog


class ConfirmDialog(FramedDialog):
    """A question with a verb; keeping things as they are is what Return does.

    Args:
        parent: The window it belongs to.
        title: The question.
        text: What is lost.
        verb: Of the button that loses it.
    """

    def __init__(self, parent: QWidget | None, title: str, text: str, verb: str) -> None:
        super().__init__(parent, title, Buttons.Ok | Buttons.Cancel)
        self.name_button(Buttons.Ok, verb)
        label = QLabel(text)
        label.setWordWrap(True)
        self.body.addWidget(label)
        self.body.addStretch(1)
        self.buttons.button(Buttons.Ok).setAutoDefault(False)
        self.buttons.button(Buttons.Cancel).setDefault(True)
        self.buttons.button(Buttons.Cancel).setFocus()
