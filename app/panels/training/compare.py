"""Several runs beside each other: a table of their best epochs, and their curves in one chart."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from app import theme
from app.panels import parts
from app.panels.training import words
from app.panels.training.curves import CurveTools
from app.panels.training.lines import compared_lines, main_epochs, metrics_of
from app.panels.training.pieces import drop_down
from app.panels.training.plot import Plot
from app.panels.training.run_list import STATE_TEXT
from app.tasks.run_story import RunStory
from engine.run import EpochRecord

_DASH = "–"


class CompareView(QWidget):
    """A row for each run; the colour of its line stands before its name."""

    def __init__(self) -> None:
        super().__init__()
        self._stories: tuple[RunStory, ...] = ()
        self._title = QLabel()
        self._title.setProperty("role", "title")
        self.table = QTableWidget()
        self.table.setAccessibleName("Compared runs")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.tools = CurveTools()
        self.choices = (
            drop_down("What the left chart shows"),
            drop_down("What the right chart shows"),
        )
        self.plots = (Plot(""), Plot(""))
        box = parts.column(self, spacing=10, margin=16)
        head = parts.row(self._title)
        head.addStretch(1)
        head.addWidget(self.tools)
        box.addLayout(head)
        box.addWidget(self.table)
        pair = parts.row(spacing=10)
        for choice, plot in zip(self.choices, self.plots, strict=True):
            side = QWidget()
            column = parts.column(side, spacing=6)
            column.addWidget(choice)
            column.addWidget(plot, 1)
            pair.addWidget(side, 1)
            choice.currentIndexChanged.connect(lambda _: self._draw())
        box.addLayout(pair, 1)
        self.tools.changed.connect(self._draw)

    def show_runs(self, stories: tuple[RunStory, ...]) -> None:
        """Compare these runs."""
        if len(stories) == len(self._stories) and all(
            one is other for one, other in zip(stories, self._stories, strict=True)
        ):
            return
        self._stories = stories
        self._title.setText(words.counted(len(stories), "run"))
        metrics = metrics_of(stories)
        for choice, default in zip(self.choices, ("mean score", "total loss"), strict=True):
            _offer(choice, metrics, default)
        self._fill()
        self._draw()

    def _draw(self) -> None:
        for choice, plot in zip(self.choices, self.plots, strict=True):
            name = choice.currentData() or ""
            self.tools.apply_to(plot, may_be_log="loss" in name)
            plot.title = choice.currentText()
            plot.setAccessibleName(plot.title)
            plot.show_lines(compared_lines(self._stories, name, self.tools.x_of))

    def _fill(self) -> None:
        scores = list(
            dict.fromkeys(
                name
                for story in self._stories
                for record in main_epochs(story)
                for name in record.scores
            )
        )
        names = ["Run", "State", "Epochs", "Best", *(first_upper(score) for score in scores),
                 "Loss", "Time"]  # fmt: skip
        self.table.clear()
        self.table.setColumnCount(len(names))
        self.table.setRowCount(len(self._stories))
        self.table.setHorizontalHeaderLabels(names)
        best = {score: _best_value(self._stories, score) for score in scores}
        for row, story in enumerate(self._stories):
            self._fill_row(row, story, scores, best)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(54)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        rows = min(len(self._stories), 7)
        self.table.setFixedHeight(header.sizeHint().height() + 30 * rows + 6)

    def _fill_row(
        self, row: int, story: RunStory, scores: list[str], best: dict[str, float | None]
    ) -> None:
        record = best_record(story)
        epochs = main_epochs(story)
        last = epochs[-1] if epochs else None
        texts = [
            story.run_id,
            STATE_TEXT[story.state],
            str(len(epochs)),
            _DASH if story.best_epoch is None else str(story.best_epoch),
            *(_score_text(record, score) for score in scores),
            _DASH if last is None else words.figure(sum(last.losses.values())),
            _DASH if last is None else words.duration(last.elapsed_s),
        ]
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if column == 0:
                item.setIcon(theme.icon("circle", theme.line_colour(row)))
            score = scores[column - 4] if 4 <= column < 4 + len(scores) else None
            if score is not None and record is not None and record.scores.get(score) == best[score]:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
                item.setForeground(QColor(theme.SUCCESS))
                item.setToolTip(f"{text}, the highest of these runs")
            self.table.setItem(row, column, item)
        self.table.setRowHeight(row, 30)


def best_record(story: RunStory) -> EpochRecord | None:
    """Return the best validated epoch of a run."""
    return next((r for r in main_epochs(story) if r.epoch == story.best_epoch), None)


def first_upper(text: str) -> str:
    """Return `text` with a capital at its beginning, and as it is otherwise."""
    return text[:1].upper() + text[1:]


def _best_value(stories: tuple[RunStory, ...], score: str) -> float | None:
    records = [best_record(story) for story in stories]
    values = [r.scores[score] for r in records if r is not None and score in r.scores]
    # The best of one is no news.
    return max(values) if len(values) > 1 else None


def _score_text(record: EpochRecord | None, score: str) -> str:
    if record is None or score not in record.scores:
        return _DASH
    return f"{record.scores[score]:.3f}"


def _offer(choice: QComboBox, metrics: tuple[str, ...], default: str) -> None:
    if [choice.itemData(i) for i in range(choice.count())] == list(metrics):
        return
    held = choice.currentData() or default
    with QSignalBlocker(choice):
        choice.clear()
        for name in metrics:
            choice.addItem(first_upper(name), name)
        choice.setCurrentIndex(max(choice.findData(held), 0))
