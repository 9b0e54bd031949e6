"""The end of a run's log."""

from __future__ import annotations

from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QPlainTextEdit


class LogView(QPlainTextEdit):
    """Read only; follows the end unless the reader has scrolled up."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.setPlaceholderText("The log is empty so far.")
        self.setAccessibleName("Log of the run")
        self.setProperty("role", "log")
        self._run_id = ""
        self._text = ""

    def show_text(self, run_id: str, text: str) -> None:
        """Show the end of the log of `run_id`."""
        if (run_id, text) == (self._run_id, self._text):
            return
        bar = self.verticalScrollBar()
        follows = run_id != self._run_id or bar.value() >= bar.maximum() - 2
        place = bar.value()
        self._run_id, self._text = run_id, text
        self.setPlainText(text.rstrip("\n"))
        bar.setValue(bar.maximum() if follows else min(place, bar.maximum()))
