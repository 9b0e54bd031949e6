"""What a run would need, before it starts."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QWidget

from app import theme
from app.panels import parts
from app.panels.training import words
from engine.archive.run_events import DryRun
from engine.errors import IsletError


class DryRunView(QWidget):
    """A bar of the memory a run needs, and the same in words."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = QWidget()
        self._holder = parts.column(self._bar)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setProperty("role", "quiet")
        box = parts.column(self, spacing=5)
        box.addWidget(self._bar)
        box.addWidget(self._text)
        self.show_answer(None)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def show_answer(self, answer: DryRun | IsletError | None, *, is_busy: bool = False) -> None:
        """Show what was predicted, what stands in the way, or that it is being worked out."""
        parts.clear(self._holder)
        if is_busy:
            self._text.setText("Working out what this run needs…")
        elif answer is None:
            self._text.setText("A dry run says how much memory this run needs, before it starts.")
        elif isinstance(answer, IsletError):
            self._text.setText(f"{answer.message} {answer.remedy}")
        else:
            self._show_memory(answer)
        self._bar.setVisible(isinstance(answer, DryRun))
        is_bad = isinstance(answer, IsletError)
        self._text.setStyleSheet(f"color: {theme.ERROR};" if is_bad else "")

    def _show_memory(self, answer: DryRun) -> None:
        share = answer.needed_bytes / max(answer.free_bytes, 1)
        colour = theme.SUCCESS if share < 0.75 else theme.WARNING if share <= 1 else theme.ERROR
        self._holder.addWidget(parts.Bar(share, colour))
        memory = f"{words.memory(answer.needed_bytes)} of {words.memory(answer.free_bytes)} free"
        pace = f"  ·  {words.figure(answer.step_s)} s a step" if answer.step_s else ""
        self._text.setText(f"{memory}{pace}\n{answer.text}".strip())
