"""Asks once to accept what Islet is for."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QWidget

from app.dialogs.frame import Buttons, FramedDialog

TERMS = (
    "Islet is research software. It is not a medical device, has not been cleared by any "
    "authority, and must not be used to diagnose or treat a patient.",
    "What its systems propose can be wrong and incomplete. The system that ships with it was "
    "trained on generated phantoms and has never been trained on patients.",
)


class ResearchUseDialog(FramedDialog):
    """The first-run notice."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent, "For research use only", Buttons.Ok | Buttons.Cancel)
        self.name_button(Buttons.Ok, "I understand")
        self.name_button(Buttons.Cancel, "Quit")
        for paragraph in TERMS:
            label = QLabel(paragraph)
            label.setWordWrap(True)
            self.body.addWidget(label)
        self.body.addStretch(1)
