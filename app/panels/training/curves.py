"""The live curves of one run: loss, task weights, Dice, learning rate, throughput, memory."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QSlider, QToolButton, QWidget

from app.panels import parts
from app.panels.training import lines, words
from app.panels.training.pieces import Segments
from app.panels.training.plot import Plot
from app.tasks.run_story import RunStory


class CurveTools(QWidget):
    """How curves are drawn: smoothing, a logarithmic axis, and what x is."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.smoothing = QSlider(Qt.Orientation.Horizontal)
        self.smoothing.setRange(0, 95)
        self.smoothing.setFixedWidth(110)
        self.smoothing.setPageStep(10)
        self.smoothing.setAccessibleName("Smoothing")
        self.smoothing.setToolTip("Smoothing: how much of what was a running mean keeps")
        self._amount = QLabel("off")
        self._amount.setProperty("role", "quiet")
        self._amount.setFixedWidth(34)
        self.log = QToolButton()
        self.log.setText("Log scale")
        self.log.setCheckable(True)
        self.log.setProperty("role", "command")
        self.log.setToolTip("Draw losses and the learning rate on a logarithmic axis")
        self.x_axis = Segments((("epoch", "Epochs"), ("time", "Time")), name="Horizontal axis")
        label = QLabel("Smoothing")
        label.setProperty("role", "quiet")
        self.setLayout(parts.row(label, self.smoothing, self._amount, self.log, self.x_axis))
        self.smoothing.valueChanged.connect(lambda _: self._on_changed())
        self.log.toggled.connect(lambda _: self._on_changed())
        self.x_axis.chosen.connect(lambda _: self._on_changed())

    @property
    def weight(self) -> float:
        """Of what was, in a running mean; 0 to 0.95."""
        return self.smoothing.value() / 100

    @property
    def x_of(self) -> lines.X:
        """What an epoch's x is."""
        return lines.elapsed_min if self.x_axis.choice == "time" else lines.epoch_number

    def apply_to(self, plot: Plot, *, may_be_log: bool) -> None:
        """Draw `plot` as the tools say."""
        plot.set_smoothing(self.weight)
        plot.set_log(self.log.isChecked() and may_be_log)
        is_time = self.x_axis.choice == "time"
        plot.set_x_axis("Minutes" if is_time else "Epoch", words.figure)

    def _on_changed(self) -> None:
        value = self.smoothing.value()
        self._amount.setText(f"{value / 100:.2f}" if value else "off")
        self.changed.emit()


class CurvesView(QWidget):
    """Six charts of one run; a double click, or Return, gives one of them the whole room."""

    def __init__(self) -> None:
        super().__init__()
        self.tools = CurveTools()
        self.loss = Plot("Training loss", empty_text="The first steps bring the first curve.")
        self.dice = Plot("Dice, validation", empty_text="Comes with the first validation.")
        self.weights = Plot("Task weights")
        self.rate = Plot("Learning rate")
        self.pace = Plot("Patches per second")
        self.memory = Plot("Memory", to_text=words.memory)
        self.others = Plot("Other scores, validation")
        self.plots = (
            self.loss, self.dice, self.weights, self.rate, self.pace, self.memory, self.others,
        )  # fmt: skip
        self._may_be_log = frozenset({self.loss, self.rate})
        self._story: RunStory | None = None
        self._enlarged: Plot | None = None
        self._placed: list[Plot] = []
        self._grid = QGridLayout()
        self._grid.setSpacing(10)
        box = parts.column(self, spacing=8)
        line = parts.row()
        self._part = QLabel()
        self._part.setProperty("role", "quiet")
        line.addWidget(self._part)
        line.addStretch(1)
        line.addWidget(self.tools)
        box.addLayout(line)
        box.addLayout(self._grid, 1)
        for plot in self.plots:
            plot.setParent(self)
            plot.enlarge_requested.connect(lambda plot=plot: self._enlarge(plot))
        self.tools.changed.connect(self._draw)
        self._arrange()

    def show_run(self, story: RunStory) -> None:
        """Follow a run."""
        if story is self._story:
            return
        if self._story is None or story.run_id != self._story.run_id:
            for plot in self.plots:
                plot.point_at(None)
        self._story = story
        self._draw()

    def _draw(self) -> None:
        story = self._story
        if story is None:
            return
        x = self.tools.x_of
        for plot in self.plots:
            self.tools.apply_to(plot, may_be_log=plot in self._may_be_log)
        self.loss.show_lines(lines.loss_lines(story, x))
        self.dice.show_lines(lines.dice_lines(story, x))
        self.weights.show_lines(lines.weight_lines(story, x))
        self.others.show_lines(lines.other_score_lines(story, x))
        self.rate.show_lines(
            lines.figure_line(story, "Learning rate", lambda r: r.learning_rate, x)
        )
        self.pace.show_lines(
            lines.figure_line(story, "Patches per second", lambda r: r.samples_per_s, x)
        )
        self.memory.show_lines(lines.figure_line(story, "Memory", lambda r: r.memory_bytes, x))
        is_localiser = story.part not in ("", story.system)
        self._part.setText(f"Of {story.part}, which is fitted first" if is_localiser else "")
        self._arrange()

    def _enlarge(self, plot: Plot) -> None:
        self._enlarged = None if self._enlarged is plot else plot
        self._arrange()

    def _arrange(self) -> None:
        """Give every chart its place; that of other scores only where there are any."""
        shown = [plot for plot in self.plots if plot is not self.others or plot.lines]
        if self._enlarged is not None:
            shown = [self._enlarged]
        if shown == self._placed:
            return
        self._placed = shown
        for plot in self.plots:
            self._grid.removeWidget(plot)
            plot.setVisible(plot in shown)
        for number, plot in enumerate(shown):
            self._grid.addWidget(plot, *_place(number, len(shown)))


def _place(number: int, count: int) -> tuple[int, int, int, int]:
    """Return row, column, and the rows and columns a chart takes of a grid of twelve columns."""
    in_row = -(-count // min(count, 2))
    row = number // in_row
    width = 12 // min(in_row, count - row * in_row)
    return row, (number % in_row) * width, 1, width
