"""One run: what it is doing, its figures, curves, pictures, log and settings."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QTabWidget,
    QWidget,
)

from app import theme
from app.actions import ActionSet
from app.panels import parts
from app.panels.facts import FactsView
from app.panels.training import words
from app.panels.training.curves import CurvesView
from app.panels.training.log_view import LogView
from app.panels.training.pictures import PicturesView
from app.panels.training.pieces import ElidedLabel, action_button
from app.panels.training.run_list import STATE_COLOUR, STATE_ICON, progress_text
from app.tasks.run_story import RunStory
from engine.archive.runs import score_of
from engine.run import RunState

_DASH = "–"
_TILES = (
    "Epoch",
    "Time left",
    "Best Dice",
    "Loss",
    "Learning rate",
    "Patches per second",
    "Memory",
)


class RunView(QWidget):
    """Everything about the chosen run.

    Args:
        actions: The commands of its buttons.
    """

    def __init__(self, actions: ActionSet) -> None:
        super().__init__()
        self._name = ElidedLabel("title", Qt.TextElideMode.ElideMiddle)
        self._icon = QLabel()
        self._state = ElidedLabel("quiet")
        self.buttons = {
            verb: action_button(actions[f"run.{verb}"])
            for verb in ("pause", "resume", "stop", "finish", "register", "folder", "delete")
        }
        for verb in ("folder", "delete"):
            self.buttons[verb].setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        self.buttons["register"].setProperty("role", "primary")
        self.note = _Note()
        self._tiles = {name: _Tile(name) for name in _TILES}
        self.curves = CurvesView()
        self.pictures = PicturesView()
        self.log = LogView()
        self.facts = FactsView()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        for page, title in (
            (self.curves, "Curves"), (self.pictures, "Pictures"), (self.log, "Log"),
            (self.facts, "Settings"),
        ):  # fmt: skip
            self.tabs.addTab(_padded(page), title)
        box = parts.column(self, spacing=10, margin=16)
        box.addLayout(self._head())
        box.addWidget(self.note)
        tiles = parts.row(*self._tiles.values(), spacing=8)
        box.addLayout(tiles)
        box.addWidget(self.tabs, 1)

    def figure(self, name: str) -> str:
        """Return what the tile called `name` says."""
        return self._tiles[name].value.text()

    @property
    def text(self) -> str:
        """What its head says."""
        return f"{self._name.full_text}: {self._state.full_text}"

    def show_run(self, story: RunStory) -> None:
        """Follow a run."""
        self._name.show_text(story.run_id)
        colour = STATE_COLOUR[story.state]
        self._icon.setPixmap(theme.icon(STATE_ICON[story.state], colour).pixmap(18, 18))
        self._state.show_text("  ·  ".join(w for w in (progress_text(story), story.title) if w))
        self._show_buttons(story)
        self.note.show_run(story)
        for name, text in _figures(story).items():
            self._tiles[name].value.setText(text)
        self.curves.show_run(story)
        self.pictures.show_run(story)
        self.log.show_text(story.run_id, story.log_tail)
        self.facts.show_facts(story.facts)

    def _head(self):  # noqa: ANN202 - a layout
        names = QWidget()
        column = parts.column(names, spacing=2)
        column.addWidget(self._name)
        line = parts.row(self._icon, spacing=6)
        line.addWidget(self._state, 1)
        column.addLayout(line)
        head = parts.row(spacing=6)
        head.addWidget(names, 1)
        for button in self.buttons.values():
            head.addWidget(button)
        return head

    def _show_buttons(self, story: RunStory) -> None:
        visible = {
            "pause": story.state is RunState.RUNNING,
            "resume": story.can_resume,
            "stop": story.is_live or story.state is RunState.QUEUED,
            "finish": story.can_finish,
            "register": story.is_over and not story.is_broken,
            "folder": True,
            "delete": not story.is_live,
        }
        for verb, button in self.buttons.items():
            button.setVisible(visible[verb])
        is_queued = story.state is RunState.QUEUED
        self.buttons["stop"].defaultAction().setText("Leave queue" if is_queued else "Stop")


class _Note(QFrame):
    """Why a run does not go on, or what its trainer warns of."""

    def __init__(self) -> None:
        super().__init__()
        self._icon = QLabel()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line = parts.row(self._icon)
        line.addWidget(self._text, 1)
        line.setContentsMargins(12, 8, 12, 8)
        line.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        self.setLayout(line)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; empty while it is hidden."""
        return "" if self.isHidden() else self._text.text()

    def show_run(self, story: RunStory) -> None:
        is_failure = story.state in (RunState.FAILED, RunState.INTERRUPTED)
        sentences = [story.message, story.remedy] if story.message else []
        sentences += story.alarms[-2:]
        role = "failure" if is_failure else "alarm"
        if self.property("role") != role:
            self.setProperty("role", role)
            # Qt reads a property for its style sheet only when the widget is polished.
            self.style().unpolish(self)
            self.style().polish(self)
        icon, colour = ("alert-circle", theme.ERROR) if is_failure else ("alert", theme.WARNING)
        self._icon.setPixmap(theme.icon(icon, colour).pixmap(18, 18))
        self._text.setText(" ".join(sentences))
        self.setVisible(bool(sentences))


class _Tile(QFrame):
    """One figure under its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("role", "group")
        self.value = QLabel(_DASH)
        self.value.setProperty("role", "tile")
        label = ElidedLabel("quiet")
        label.show_text(name)
        box = parts.column(self, spacing=1)
        box.setContentsMargins(10, 7, 10, 7)
        box.addWidget(label)
        box.addWidget(self.value)


def _figures(story: RunStory) -> dict[str, str]:
    step, epochs = story.step, story.epochs
    last = epochs[-1] if epochs else None
    main = story.histories.get(story.system, ())
    best = next((score_of(r) for r in main if r.epoch == story.best_epoch), None)
    losses = step.losses if step is not None and last is None else last.losses if last else {}
    left = story.remaining_s if story.state is RunState.RUNNING else None
    return {
        "Epoch": _epoch_text(story),
        "Time left": words.duration(left) if left is not None else _DASH,
        "Best Dice": f"{best:.3f}  (epoch {story.best_epoch})" if best is not None else _DASH,
        "Loss": words.figure(sum(losses.values())) if losses else _DASH,
        "Learning rate": words.figure(last.learning_rate) if last else _DASH,
        "Patches per second": words.figure(last.samples_per_s) if last else _DASH,
        "Memory": words.memory(last.memory_bytes) if last and last.memory_bytes else _DASH,
    }


def _epoch_text(story: RunStory) -> str:
    if story.step is not None:
        return f"{story.step.epoch} of {story.step.epochs}"
    return str(len(story.epochs)) if story.epochs else _DASH


def _padded(page: QWidget) -> QWidget:
    holder = QWidget()
    parts.column(holder).addWidget(page)
    holder.layout().setContentsMargins(0, 10, 0, 0)  # type: ignore[union-attr]
    return holder
