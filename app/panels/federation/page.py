"""The federation page: known folders on the left, and what goes on in one of them on the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QStackedWidget,
    QWidget,
)

from app import theme
from app.actions import ActionSet
from app.panels import parts
from app.panels.federation.rounds_view import RoundsView
from app.panels.training.pieces import ElidedLabel, action_button, drop_down
from app.tasks.federation_story import FederationStory, RunTold, kind_text

_LIST_WIDTH = 290
_RUNS_WIDTH = 200
_FOLDER = Qt.ItemDataRole.UserRole
_COLOURS: Mapping[str, str] = {
    "online": theme.SUCCESS,
    "preparing": theme.SUCCESS,
    "training": theme.SUCCESS,
    "judging": theme.SUCCESS,
    "running": theme.SUCCESS,
    "failed": theme.ERROR,
    "offline": theme.WARNING,
    "interrupted": theme.WARNING,
}
_ICONS = {"coordinator": "server-network", "site": "hospital-building", "simulation": "flask"}
_VERBS = (
    "start", "stop", "join", "approve", "revoke", "run", "stop_run", "resume", "register",
    "forget",
)  # fmt: skip
_HINT = (
    "Join a federation as a hospital, coordinate one, or simulate one on this computer. Images and "
    "outlines never leave a site: what leaves is said before a start and listed for every round."
)


class FederationPage(QWidget):
    """Follows the folders of federations.

    Args:
        actions: The commands of its buttons.
    """

    facts_changed = Signal()
    shown = Signal()
    hidden = Signal()

    def __init__(self, actions: ActionSet) -> None:
        super().__init__()
        self._actions = actions
        self._stories: dict[Path, FederationStory] = {}
        self.list = QListWidget()
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setSpacing(3)
        self.list.setAccessibleName("Federations")
        self._name = ElidedLabel("title", Qt.TextElideMode.ElideMiddle)
        self._state = ElidedLabel("quiet")
        self._note = QLabel()
        self._note.setWordWrap(True)
        self._note.setProperty("role", "quiet")
        self._note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._members = parts.quiet("")
        self.runs: QComboBox = drop_down("Run")
        self.runs.setMinimumWidth(_RUNS_WIDTH)
        self.buttons = {verb: action_button(actions[f"federation.{verb}"]) for verb in _VERBS}
        for button in self.buttons.values():
            # Until a folder says what can be done; together they are wider than a small window.
            button.hide()
        self.rounds = RoundsView()
        self._right = QStackedWidget()
        self._empty = parts.empty_state("hospital-building", _HINT)
        self._right.addWidget(self._empty)
        self._right.addWidget(self._view())
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self._left())
        line = QFrame()
        line.setProperty("role", "line")
        line.setFixedWidth(1)
        box.addWidget(line)
        box.addWidget(self._right, 1)
        self.list.currentItemChanged.connect(lambda *_: self._show_chosen())
        self.runs.activated.connect(lambda _: self._show_chosen())

    @property
    def chosen(self) -> FederationStory | None:
        """The folder that is shown."""
        item = self.list.currentItem()
        return None if item is None else self._stories.get(item.data(_FOLDER))

    @property
    def chosen_run(self) -> RunTold | None:
        """The run that is shown: the newest, unless another was chosen."""
        story = self.chosen
        if story is None or not story.runs:
            return None
        by_name = {run.name: run for run in story.runs}
        return by_name.get(self.runs.currentText(), story.runs[-1])

    @property
    def facts(self) -> frozenset[str]:
        """What can be done now; see `app.actions.FACTS`."""
        story, run = self.chosen, self.chosen_run
        if story is None:
            return frozenset()
        is_coordinator, is_site = story.kind == "coordinator", story.kind == "site"
        goes_on = run is not None and run.state == "running"
        facts = {
            "federation_chosen": True,
            "federation_startable": not story.is_running
            and (is_coordinator or (is_site and story.has_joined)),
            "federation_running": story.is_running,
            "federation_joinable": is_site and not story.is_running,
            "federation_coordinated": is_coordinator,
            "federation_serving": is_coordinator and story.is_running,
            "federation_run_running": is_coordinator and goes_on,
            "federation_run_resumable": is_coordinator
            and run is not None
            and run.state in ("stopped", "failed", "interrupted"),
            "federation_run_trained": is_coordinator and run is not None and run.has_weights,
            "federation_idle": not story.is_running,
        }
        return frozenset(name for name, is_true in facts.items() if is_true)

    def show_stories(self, stories: tuple[FederationStory, ...]) -> None:
        """Follow the folders."""
        known = {story.folder for story in stories}
        is_new = known - self._stories.keys()
        self._stories = {story.folder: story for story in stories}
        self._list_folders(stories)
        if is_new and self._stories:
            self.choose(stories[-1].folder)
        self._show_chosen()

    def choose(self, folder: Path) -> None:
        """Show what goes on in `folder`."""
        for row in range(self.list.count()):
            if self.list.item(row).data(_FOLDER) == folder:
                self.list.setCurrentRow(row)

    @property
    def note(self) -> str:
        """What it says of faults; empty where nothing is wrong."""
        return self._note.text()

    @property
    def head(self) -> str:
        """What it says of the chosen folder."""
        return f"{self._name.full_text}: {self._state.full_text}"

    def _list_folders(self, stories: tuple[FederationStory, ...]) -> None:
        while self.list.count() > len(stories):
            self.list.takeItem(self.list.count() - 1)
        for row, story in enumerate(stories):
            item = self.list.item(row)
            if item is None:
                item = QListWidgetItem()
                self.list.addItem(item)
            item.setData(_FOLDER, story.folder)
            state = story.state or "stopped"
            item.setText(f"{story.name}\n{kind_text(story)}, {state}")
            colour = _COLOURS.get(story.state, theme.QUIET_TEXT)
            item.setIcon(theme.icon(_ICONS.get(story.kind, "alert-circle"), colour))
            item.setToolTip(str(story.folder))

    def _left(self) -> QWidget:
        left = QWidget()
        left.setFixedWidth(_LIST_WIDTH)
        box = parts.column(left, spacing=8)
        box.setContentsMargins(8, 12, 8, 8)
        head = parts.row(parts.heading("Federations"))
        head.setContentsMargins(6, 0, 4, 0)
        head.addStretch(1)
        box.addLayout(head)
        box.addWidget(self.list, 1)
        for verb in ("request", "coordinate", "simulate", "open"):
            box.addWidget(action_button(self._actions[f"federation.{verb}"]))
        return left

    def _view(self) -> QWidget:
        view = QWidget()
        box = parts.column(view, spacing=10, margin=16)
        names = QWidget()
        column = parts.column(names, spacing=2)
        column.addWidget(self._name)
        column.addWidget(self._state)
        head = parts.row(spacing=6)
        head.addWidget(names, 1)
        for verb in ("start", "stop", "join", "approve", "revoke", "forget"):
            head.addWidget(self.buttons[verb])
        box.addLayout(head)
        box.addWidget(self._note)
        box.addWidget(self._members)
        line = parts.row(parts.quiet("Run"), self.runs)
        line.addStretch(1)
        for verb in ("run", "stop_run", "resume", "register"):
            line.addWidget(self.buttons[verb])
        box.addLayout(line)
        box.addWidget(self.rounds, 1)
        return view

    def _show_chosen(self) -> None:
        story = self.chosen
        self._right.setCurrentIndex(0 if story is None else 1)
        if story is not None:
            self._show(story)
        self.facts_changed.emit()

    def _show(self, story: FederationStory) -> None:
        names = [run.name for run in story.runs]
        if names != [self.runs.itemText(row) for row in range(self.runs.count())]:
            self.runs.clear()
            self.runs.addItems(names)
            self.runs.setCurrentIndex(len(names) - 1)
        run = self.chosen_run
        self._name.show_text(story.name)
        self._state.show_text("  ·  ".join((story.title, story.state, *_progress(run))))
        said = [story.message, story.remedy]
        if run is not None and run.state in ("failed", "interrupted", "stopped"):
            said += [run.message, run.remedy]
            if run.state == "interrupted":
                said.append("The run was interrupted. It goes on from its last round by Resume.")
        self._note.setText(" ".join(words for words in said if words))
        self._note.setVisible(bool(self._note.text()))
        members = "   ".join(f"{name}: {state}" for name, state in story.members)
        self._members.setText(members and f"Sites   {members}")
        self._members.setVisible(bool(members))
        self._show_buttons(story)
        self.rounds.show_story(story, run)

    def _show_buttons(self, story: FederationStory) -> None:
        facts = self.facts
        visible = {
            "start": story.kind in ("coordinator", "site") and not story.is_running,
            "stop": story.is_running,
            "join": story.kind == "site" and not story.has_joined,
            "approve": story.kind == "coordinator",
            "revoke": story.kind == "coordinator" and bool(story.members),
            "forget": not story.is_running,
            "run": story.kind == "coordinator",
            "stop_run": "federation_run_running" in facts,
            "resume": "federation_run_resumable" in facts,
            "register": "federation_run_trained" in facts,
        }
        # Those that go first: together they would widen a small window for good.
        for verb in sorted(visible, key=visible.__getitem__):
            self.buttons[verb].setVisible(visible[verb])

    def showEvent(self, event: QShowEvent) -> None:
        """Say that somebody looks."""
        super().showEvent(event)
        self.shown.emit()

    def hideEvent(self, event: QHideEvent) -> None:
        """Say that nobody looks any more."""
        super().hideEvent(event)
        self.hidden.emit()


def _progress(run: RunTold | None) -> tuple[str, ...]:
    """Return how far a run is, and how long it still takes if every round is as the last."""
    if run is None:
        return ()
    if run.is_preparing and run.state == "running":
        return ("sites prepare",)
    done = len(run.records)
    words = f"round {done} of {run.rounds}" if run.rounds else f"{done} rounds"
    lasts = [record["elapsed_s"] for record in run.records[-3:] if "elapsed_s" in record]
    if not lasts or not run.rounds or done >= run.rounds:
        return (words,)
    left_min = (run.rounds - done) * sum(lasts) / len(lasts) / 60
    return (words, f"about {max(1, round(left_min))} min left")
