"""What every dialog shares: a title, a body and a row of buttons."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from app.panels import parts

Buttons = QDialogButtonBox.StandardButton


class FramedDialog(QDialog):
    """A modal dialog with a heading.

    Args:
        parent: The window it belongs to.
        title: Its heading.
        buttons: Standard buttons at its foot.
        width: In device-independent pixels.
    """

    def __init__(
        self, parent: QWidget | None, title: str, buttons: Buttons, *, width: int = 460
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(width)
        self.setModal(True)
        heading = QLabel(title)
        heading.setProperty("role", "title")
        heading.setWordWrap(True)
        self.body: QVBoxLayout = QVBoxLayout()
        self.body.setSpacing(10)
        self.buttons = QDialogButtonBox(buttons)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        box = parts.column(self, spacing=14, margin=20)
        box.addWidget(heading)
        box.addLayout(self.body, 1)
        box.addWidget(self.buttons)

    def name_button(self, which: Buttons, text: str) -> None:
        """Give a standard button the verb of this dialog."""
        self.buttons.button(which).setText(text)
