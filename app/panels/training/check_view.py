"""What the check of a data set found, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QProgressBar, QScrollArea, QWidget

from app import theme
from app.panels import parts
from app.panels.training import words
from engine.data.dataset_check import DatasetReport, Problem
from engine.errors import IsletError

_HINT = "The check reads every case and lists what would break a training."
# ours: a set with more problems than this has one reason, and nobody reads on
_MAX_SHOWN = 200


class CheckView(QWidget):
    """A summary and the list of problems."""

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self._rows: tuple[_ProblemRow, ...] = ()
        self._icon = QLabel()
        self._icon.setFixedWidth(20)
        self._summary = QLabel()
        self._summary.setWordWrap(True)
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._body = QWidget()
        self._list = parts.column(self._body, spacing=8)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._body)
        self._scroll.setMinimumHeight(110)
        box = parts.column(self, spacing=8)
        line = parts.row(self._icon)
        line.addWidget(self._summary, 1)
        line.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        box.addLayout(line)
        box.addWidget(self._progress)
        box.addWidget(self._scroll, 1)
        self._say("database-search-outline", theme.QUIET_TEXT, _HINT)

    @property
    def text(self) -> str:
        """The summary."""
        return self._summary.text()

    @property
    def problem_texts(self) -> tuple[str, ...]:
        """The listed problems."""
        return tuple(row.text for row in self._rows)

    def forget(self, folder: Path | None) -> None:
        """Another data set was named, which was not looked at yet."""
        self.folder = folder
        self._say("database-search-outline", theme.QUIET_TEXT, _HINT)

    def show_progress(self, folder: Path, fraction: float) -> None:
        """Show how far the check of `folder` is."""
        self.folder = folder
        self._say("database-search-outline", theme.ACCENT, "Reading every case…")
        self._progress.show()
        self._progress.setRange(0, 1000 if fraction > 0 else 0)
        self._progress.setValue(round(1000 * fraction))

    def show_error(self, error: IsletError) -> None:
        """Show why the folder is no data set."""
        self._say("alert-circle", theme.ERROR, f"{error.message} {error.remedy}")

    def show_result(self, result: DatasetReport) -> None:
        """Show what was found."""
        if not result.problems:
            self._say("check-circle", theme.SUCCESS, f"{result.summary} No problem was found.")
            return
        is_fatal = bool(result.fatal)
        number = words.counted(len(result.problems), "problem")
        self._say(
            "alert-circle" if is_fatal else "alert",
            theme.ERROR if is_fatal else theme.WARNING,
            f"{result.summary} {number} found.",
        )
        self._rows = tuple(_ProblemRow(problem) for problem in result.problems[:_MAX_SHOWN])
        for row in self._rows:
            self._list.addWidget(row)
        left_out = len(result.problems) - _MAX_SHOWN
        if left_out > 0:
            self._list.addWidget(parts.quiet(f"and {left_out:,} more"))
        self._list.addStretch(1)

    def _say(self, icon: str, colour: str, text: str) -> None:
        self._rows = ()
        parts.clear(self._list)
        self._progress.hide()
        self._icon.setPixmap(theme.icon(icon, colour).pixmap(18, 18))
        self._summary.setText(text)
        self._summary.setStyleSheet(f"color: {theme.QUIET_TEXT};" if text == _HINT else "")


class _ProblemRow(QWidget):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        colour = theme.ERROR if problem.is_fatal else theme.WARNING
        mark = QLabel()
        mark.setPixmap(theme.icon("circle-medium", colour).pixmap(14, 14))
        mark.setFixedWidth(16)
        place = parts.quiet(problem.case_id or "Whole set")
        self.text = problem.message
        text = QLabel(problem.message)
        text.setWordWrap(True)
        words_box = QWidget()
        box = parts.column(words_box, spacing=1)
        box.addWidget(place)
        box.addWidget(text)
        line = parts.row(mark)
        line.setSpacing(6)
        line.addWidget(words_box, 1)
        line.setAlignment(mark, Qt.AlignmentFlag.AlignTop)
        self.setLayout(line)
