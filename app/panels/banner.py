"""What a reader should know about how the case was read, above the pictures."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QLabel

from app import theme
from app.panels import parts
from engine.case import Case


class Banner(QFrame):
    """Says what was noticed while reading a case; the reader may close it."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "note")
        self._icon = QLabel()
        self._icon.setPixmap(theme.icon("information", theme.ACCENT).pixmap(16, 16))
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._close = parts.icon_button("close", "Hide this note")
        self._close.clicked.connect(lambda *_: self.hide())
        line = parts.row(self._icon)
        line.addWidget(self._text, 1)
        line.addWidget(self._close)
        line.setContentsMargins(12, 7, 8, 7)
        self.setLayout(line)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def show_case(self, case: Case | None) -> None:
        """Show the remarks; reasons against an analysis stand in the panes' own banner."""
        remarks = case.volume.remarks if case is not None else ()
        notes = tuple(remark.message for remark in remarks if not remark.blocks_analysis)
        self._text.setText(" ".join(notes))
        self.setVisible(bool(notes))
