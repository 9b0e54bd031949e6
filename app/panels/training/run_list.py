"""The list of runs: what each is doing, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetricsF, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from app import theme
from app.panels.training.words import duration
from app.tasks.run_story import RunStory
from engine.run import RunState

STATE_TEXT = {
    RunState.QUEUED: "Waiting",
    RunState.RUNNING: "Running",
    RunState.PAUSED: "Paused",
    RunState.STOPPED: "Stopped",
    RunState.FINISHED: "Finished",
    RunState.FAILED: "Failed",
    RunState.INTERRUPTED: "Interrupted",
}
STATE_COLOUR = {
    RunState.QUEUED: theme.QUIET_TEXT,
    RunState.RUNNING: theme.ACCENT,
    RunState.PAUSED: theme.WARNING,
    RunState.STOPPED: theme.QUIET_TEXT,
    RunState.FINISHED: theme.SUCCESS,
    RunState.FAILED: theme.ERROR,
    RunState.INTERRUPTED: theme.WARNING,
}
STATE_ICON = {
    RunState.QUEUED: "timer-sand",
    RunState.RUNNING: "play-circle",
    RunState.PAUSED: "pause-circle",
    RunState.STOPPED: "stop-circle",
    RunState.FINISHED: "check-circle",
    RunState.FAILED: "alert-circle",
    RunState.INTERRUPTED: "lightning-bolt-circle",
}
_STAGE_TEXT = {
    "start": "Starting",
    "check": "Checking the data",
    "prepare": "Preparing the data",
    "features": "Computing features",
    "validate": "Validating",
    "dry run": "Dry run",
}
_STORY_ROLE = Qt.ItemDataRole.UserRole
_ROW_HEIGHT = 58


class RunList(QListWidget):
    """Runs, one under the other; several chosen at once are compared."""

    chosen = Signal(object)  # tuple[str, ...] of run ids, in the order of the list

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("runs")
        self.setAccessibleName("Training runs")
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegate(_RunDelegate(self))
        self.setMouseTracking(True)
        self._stories: tuple[RunStory, ...] = ()

    @property
    def chosen_ids(self) -> tuple[str, ...]:
        """The chosen runs, in the order of the list."""
        rows = sorted(index.row() for index in self.selectedIndexes())
        return tuple(self._stories[row].run_id for row in rows)

    def show_runs(self, stories: tuple[RunStory, ...]) -> None:
        """Follow the runs; those that were chosen stay so."""
        held = self.chosen_ids
        ids = [story.run_id for story in stories]
        if ids != [story.run_id for story in self._stories]:
            self._refill(stories, held)
        self._stories = stories
        for row, story in enumerate(stories):
            item = self.item(row)
            item.setData(_STORY_ROLE, story)
            item.setToolTip(f"{story.run_id}\n{story.title}\n{STATE_TEXT[story.state]}")
            item.setData(
                Qt.ItemDataRole.AccessibleTextRole, f"{story.run_id}, {progress_text(story)}"
            )

    def choose(self, run_ids: Iterable[str]) -> None:
        """Choose these runs and no others."""
        wanted = set(run_ids)
        selection = QItemSelection()
        first = None
        for row, story in enumerate(self._stories):
            if story.run_id in wanted:
                index = self.model().index(row, 0)
                selection.select(index, index)
                first = index if first is None else first
        flag = QItemSelectionModel.SelectionFlag
        if first is not None:
            self.selectionModel().setCurrentIndex(first, flag.NoUpdate)
        self.selectionModel().select(selection, flag.ClearAndSelect)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        """Tell which runs are chosen now."""
        super().selectionChanged(selected, deselected)
        if not self.signalsBlocked():
            self.chosen.emit(self.chosen_ids)

    def _refill(self, stories: tuple[RunStory, ...], held: tuple[str, ...]) -> None:
        was_blocked = self.blockSignals(True)
        self.clear()
        for story in stories:
            item = QListWidgetItem(story.run_id)
            item.setData(_STORY_ROLE, story)
            self.addItem(item)
        self._stories = stories
        self.choose(held)
        self.blockSignals(was_blocked)
        if self.chosen_ids != held:
            self.chosen.emit(self.chosen_ids)


def progress_text(story: RunStory) -> str:
    """Say what a run is doing and how far it is."""
    words = [STATE_TEXT[story.state]]
    if story.is_live and story.stage:
        share = f" {story.fraction:.0%}".replace("%", " %") if story.fraction else ""
        words = [f"{_STAGE_TEXT.get(story.stage, story.stage.capitalize())}{share}"]
    elif story.step is not None and story.is_live:
        words.append(f"epoch {story.step.epoch} of {story.step.epochs}")
        if story.state is RunState.RUNNING:
            # The icon says that it runs; the line is short.
            words = [f"Epoch {story.step.epoch} of {story.step.epochs}"]
    elif story.epochs:
        words.append(f"{len(story.epochs)} epoch{'' if len(story.epochs) == 1 else 's'}")
    if story.state is RunState.RUNNING and not story.stage:
        words.append(_left_text(story.remaining_s))
    return "  ·  ".join(word for word in words if word)


def _left_text(remaining_s: float | None) -> str:
    return "" if remaining_s is None else f"{duration(remaining_s)} left"


class _RunDelegate(QStyledItemDelegate):
    """Draws a run as a card: name, what it does, and a bar of how far it is."""

    def sizeHint(
        self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """Give every run the same height."""
        return QSize(120, _ROW_HEIGHT)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw one run."""
        story: RunStory = index.data(_STORY_ROLE)
        rect = QRectF(option.rect).adjusted(3, 2, -3, -2)  # type: ignore[attr-defined]
        state = option.state  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        _draw_ground(painter, rect, state)
        colour = STATE_COLOUR[story.state]
        mark = rect.adjusted(9, 11, 0, 0)
        theme.icon(STATE_ICON[story.state], colour).paint(
            painter, int(mark.left()), int(mark.top()), 16, 16
        )
        room = rect.adjusted(33, 7, -9, 0)
        text = theme.picture_font(13, bold=True)
        _draw_text(painter, room, story.run_id, text, theme.TEXT, Qt.TextElideMode.ElideMiddle)
        below = room.translated(0, 19)
        quiet = (
            colour if story.state in (RunState.FAILED, RunState.INTERRUPTED) else theme.QUIET_TEXT
        )
        _draw_text(
            painter, below, progress_text(story), theme.picture_font(11), quiet,
            Qt.TextElideMode.ElideRight,
        )  # fmt: skip
        if story.is_live:
            share = story.fraction if story.stage else story.done
            _draw_bar(
                painter, QRectF(room.left(), rect.bottom() - 9, room.width(), 3), share, colour
            )
        painter.restore()


def _draw_ground(painter: QPainter, rect: QRectF, state: QStyle.StateFlag) -> None:
    flag = QStyle.StateFlag
    is_chosen = bool(state & flag.State_Selected)
    if is_chosen or state & flag.State_MouseOver:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.CHOSEN if is_chosen else theme.RAISED))
        painter.drawRoundedRect(rect, 6, 6)
    if state & flag.State_HasFocus and state & flag.State_KeyboardFocusChange:
        painter.setPen(QColor(theme.ACCENT))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)


def _draw_text(painter, room, text, font, colour, mode) -> None:  # noqa: ANN001
    painter.setFont(font)
    painter.setPen(QColor(colour))
    shown = QFontMetricsF(font).elidedText(text, mode, room.width())
    painter.drawText(QRectF(room.left(), room.top(), room.width(), 17), shown)


def _draw_bar(painter: QPainter, rect: QRectF, share: float, colour: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.BORDER))
    painter.drawRoundedRect(rect, 1.5, 1.5)
    if share > 0:
        painter.setBrush(QColor(colour))
        filled = QRectF(rect.left(), rect.top(), max(rect.width() * min(share, 1.0), 3.0), 3)
        painter.drawRoundedRect(filled, 1.5, 1.5)
