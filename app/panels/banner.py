"""What a reader should know about how the case was read, above the pictures."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QLabel, QWidget

from app import theme
from app.panels import parts
from engine.case import Case


class Banner(QFrame):
    """Says why a case must not be analysed, or what was noticed while reading it."""

    def __init__(self) -> None:
        super().__init__()
        self._icon = QLabel()
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
        """Speak up where there is something to say; a warning cannot be closed."""
        remarks = case.volume.remarks if case is not None else ()
        unsafe = case.volume.unsafe_reasons if case is not None else ()
        self._text.setText(_words(tuple(remark.message for remark in remarks), unsafe))
        self._set_role("warning" if unsafe else "note")
        self._close.setVisible(not unsafe)
        self.setVisible(bool(remarks))

    def _set_role(self, role: str) -> None:
        self.setProperty("role", role)
        is_warning = role == "warning"
        name, colour = ("alert", theme.WARNING) if is_warning else ("information", theme.ACCENT)
        self._icon.setPixmap(theme.icon(name, colour).pixmap(16, 16))
        widgets: tuple[QWidget, ...] = (self, self._text)
        for widget in widgets:
            self.style().unpolish(widget)
            self.style().polish(widget)


def _words(remarks: tuple[str, ...], unsafe: tuple[str, ...]) -> str:
    if not unsafe:
        return " ".join(remarks)
    rest = tuple(remark for remark in remarks if remark not in unsafe)
    return " ".join(("View only, not for analysis:", *unsafe, *rest))
