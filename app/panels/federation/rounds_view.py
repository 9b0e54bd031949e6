"""The rounds of a run: losses, weights, validation and bytes of every site, and what came of it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QWidget,
)

from app import theme
from app.panels.facts import FactsView
from app.panels.federation import round_lines
from app.panels.training import words
from app.panels.training.chart import Line
from app.panels.training.log_view import LogView
from app.panels.training.plot import Plot
from app.tasks.federation_story import FederationStory, RunTold

_STRUCTURES = ("pancreas", "lesion")
_SENT_COLUMNS = ("Round", "When", "Left, MB", "All would be, MB", "Part", "Layers")
_MEGA = 1e6


class RoundsView(QTabWidget):
    """Curves, what left, the table, the log and the settings."""

    def __init__(self) -> None:
        super().__init__()
        self.setDocumentMode(True)
        self.tabBar().setDrawBase(False)
        self.own = Plot("Loss of this site now", empty_text="Comes with the first steps here.")
        self.loss = Plot("Loss of every site", empty_text="Comes with the first round.")
        self.weights = Plot("Weight of every site", empty_text="Comes with the first round.")
        self.dice = {
            name: Plot(f"Dice, {name}, common model", empty_text="Comes with the second round.")
            for name in _STRUCTURES
        }
        self.sent = Plot("Left every site, MB", empty_text="Comes with the first round.")
        self.plots = (self.loss, self.weights, *self.dice.values(), self.sent, self.own)
        for plot in self.plots:
            plot.set_x_axis("Round", words.figure)
        self.sent_table = _Table(_SENT_COLUMNS)
        self.result = _Table(())
        self.log = LogView()
        self.notes = LogView()
        self.facts = FactsView()
        for page, title in (
            (self._curves(), "Rounds"), (self.sent_table, "What left"),
            (self.result, "Cross-site table"), (self.notes, "Events"), (self.log, "Log"),
            (self.facts, "Settings"),
        ):  # fmt: skip
            self.addTab(page, title)

    def show_story(self, story: FederationStory, run: RunTold | None) -> None:
        """Follow a folder, and one of its runs."""
        records = run.records if run is not None else ()
        self.loss.show_lines(round_lines.loss_lines(records))
        self.weights.show_lines(round_lines.weight_lines(records))
        self.sent.show_lines(round_lines.bytes_lines(records))
        for name, plot in self.dice.items():
            plot.show_lines(round_lines.validation_lines(records, name))
        self.own.setVisible(story.kind == "site")
        self.own.show_lines(_own_lines(story))
        self.sent_table.show_rows(_SENT_COLUMNS, _sent_rows(run))
        columns, rows = _parsed(run.table if run is not None else "")
        self.result.show_rows(columns, rows)
        self.notes.show_text(str(story.folder), "\n".join(run.events) if run is not None else "")
        self.log.show_text(str(story.folder), story.log_tail)
        self.facts.show_facts(story.facts)
        self.setTabVisible(1, story.kind == "site")
        self.setTabVisible(2, story.kind != "site")

    def _curves(self) -> QWidget:
        page = QWidget()
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 10, 0, 0)
        grid.setSpacing(10)
        for number, plot in enumerate(self.plots):
            grid.addWidget(plot, number // 3, number % 3)
        return page


class _Table(QTableWidget):
    """Rows to read, not to change."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        super().__init__(0, len(columns))
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.verticalHeader().hide()
        self.setHorizontalHeaderLabels(list(columns))
        self._rows: tuple[tuple[str, ...], ...] = ()

    def show_rows(self, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
        """Show `rows`; the first column says what each is."""
        if rows == self._rows:
            return
        self._rows = rows
        self.setColumnCount(len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        self.setRowCount(len(rows))
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(row, column, item)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)


def _own_lines(story: FederationStory) -> tuple[Line, ...]:
    if not story.steps:
        return ()
    xs, ys = zip(*story.steps, strict=True)
    return (Line(story.name, xs, ys, theme.line_colour(0)),)


def _sent_rows(run: RunTold | None) -> tuple[tuple[str, ...], ...]:
    if run is None:
        return ()
    return tuple(
        (
            str(row.get("round")),
            str(row.get("when"))[:16].replace("T", " "),
            f"{row.get('bytes', 0) / _MEGA:.2f}",
            f"{row.get('dense_bytes', 0) / _MEGA:.2f}",
            f"{row.get('fraction', 1):.0%}",
            str(row.get("tensors")),
        )
        for row in run.sent
    )


def _parsed(table: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the head and the rows of a Markdown table."""
    lines = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return (lines[0], tuple(lines[2:])) if len(lines) > 2 else ((), ())
