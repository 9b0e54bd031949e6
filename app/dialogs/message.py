"""Tells what happened and what to do about it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QLabel, QWidget

from app.dialogs.frame import Buttons, FramedDialog
from app.panels import parts
from engine.errors import IsletError


class MessageDialog(FramedDialog):
    """Shows an error's message and remedy; details can be copied for a report.

    Args:
        parent: The window it belongs to.
        error: What happened.
        details: What a developer wants to know; empty for nothing.
    """

    def __init__(self, parent: QWidget | None, error: IsletError, details: str = "") -> None:
        super().__init__(parent, error.message, Buttons.Close)
        self.setWindowTitle("Islet")
        self.message = error.message
        self.remedy = QLabel(error.remedy)
        self.remedy.setWordWrap(True)
        self.remedy.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.body.addWidget(self.remedy)
        self._details = details
        if details:
            self.body.addWidget(parts.quiet("The details hold no patient data."))
            self.copy_button = self.buttons.addButton(
                "Copy details", QDialogButtonBox.ButtonRole.ActionRole
            )
            self.copy_button.clicked.connect(lambda *_: self._copy())
        self.body.addStretch(1)
        self.buttons.button(Buttons.Close).setDefault(True)

    def _copy(self) -> None:
        text = f"{self.message}\n{self.remedy.text()}\n\n{self._details}"
        QGuiApplication.clipboard().setText(text)
