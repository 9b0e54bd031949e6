"""The training page: runs on the left, and what is done with them on the right."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QWidget

from app.actions import ActionSet
from app.panels import parts
from app.panels.training.compare import CompareView
from app.panels.training.form import NewRunForm
from app.panels.training.pieces import action_button
from app.panels.training.run_list import RunList
from app.panels.training.run_view import RunView
from app.tasks.run_story import RunStory
from engine.run import RunState
from engine.system import System

_LIST_WIDTH = 290


class TrainingPage(QWidget):
    """Follows every run; one chosen run is shown, several are compared.

    Args:
        systems: What can be trained.
        actions: The commands of its buttons.
    """

    facts_changed = Signal()

    def __init__(self, systems: Iterable[System], actions: ActionSet) -> None:
        super().__init__()
        self._actions = actions
        self._stories: tuple[RunStory, ...] = ()
        self.list = RunList()
        self.form = NewRunForm(systems, actions)
        self.run = RunView(actions)
        self.compare = CompareView()
        self._empty = parts.empty_state(
            "chart-line", "Choose a run on the left, or begin a new one with Ctrl+N."
        )
        self._right = QStackedWidget()
        for page in (self.form, self.run, self.compare, self._empty):
            self._right.addWidget(page)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self._left())
        line = QFrame()
        line.setProperty("role", "line")
        line.setFixedWidth(1)
        box.addWidget(line)
        box.addWidget(self._right, 1)
        self.list.chosen.connect(lambda _ids: self._show_chosen())
        self.form.changed.connect(self.facts_changed)
        self.show_form()

    @property
    def chosen(self) -> tuple[RunStory, ...]:
        """The chosen runs; none while the form of a new run is shown."""
        by_id = {story.run_id: story for story in self._stories}
        return tuple(by_id[run_id] for run_id in self.list.chosen_ids if run_id in by_id)

    @property
    def chosen_run(self) -> RunStory | None:
        """The one chosen run."""
        chosen = self.chosen
        return chosen[0] if len(chosen) == 1 else None

    @property
    def facts(self) -> frozenset[str]:
        """What can be done now; see `app.actions.FACTS`."""
        is_form = self._right.currentWidget() is self.form
        facts = {
            "data_named": is_form and self.form.data is not None,
            "run_asked": is_form and self.form.is_ready,
            **_facts_of(self.chosen_run),
        }
        return frozenset(name for name, is_true in facts.items() if is_true)

    def show_runs(self, stories: tuple[RunStory, ...]) -> None:
        """Follow the runs."""
        self._stories = stories
        self.list.show_runs(stories)
        self.form.show_taken_names(story.run_id for story in stories)
        is_waiting = any(s.is_live or s.state is RunState.QUEUED for s in stories)
        self.form.show_waiting(is_waiting)
        self._list_or_hint.setCurrentIndex(0 if stories else 1)
        self._show_chosen()

    def show_form(self) -> None:
        """Show the form of a new run."""
        self.list.choose(())
        self._right.setCurrentWidget(self.form)
        self.facts_changed.emit()

    def choose(self, run_id: str) -> None:
        """Show the run called `run_id`."""
        self.list.choose((run_id,))

    def _left(self) -> QWidget:
        left = QWidget()
        left.setFixedWidth(_LIST_WIDTH)
        box = parts.column(left, spacing=8)
        box.setContentsMargins(8, 12, 8, 8)
        head = parts.row(parts.heading("Runs"))
        head.setContentsMargins(6, 0, 4, 0)
        head.addStretch(1)
        head.addWidget(action_button(self._actions["run.new"]))
        box.addLayout(head)
        self._list_or_hint = QStackedWidget()
        self._list_or_hint.addWidget(self.list)
        self._list_or_hint.addWidget(
            parts.empty_state("chart-line", "No run yet. The form on the right begins one.")
        )
        self._list_or_hint.setCurrentIndex(1)
        box.addWidget(self._list_or_hint, 1)
        hint = parts.quiet("Ctrl+click more runs to compare them.")
        hint.setContentsMargins(6, 0, 0, 0)
        box.addWidget(hint)
        return left

    def _show_chosen(self) -> None:
        chosen = self.chosen
        if len(chosen) == 1:
            self.run.show_run(chosen[0])
            self._right.setCurrentWidget(self.run)
        elif chosen:
            self.compare.show_runs(chosen)
            self._right.setCurrentWidget(self.compare)
        elif self._right.currentWidget() is not self.form:
            self._right.setCurrentWidget(self._empty)
        self.facts_changed.emit()


def _facts_of(story: RunStory | None) -> dict[str, bool]:
    if story is None:
        return {}
    return {
        "run_chosen": True,
        "run_running": story.state is RunState.RUNNING and story.stage != "start",
        "run_resumable": story.can_resume,
        "run_finishable": story.can_finish,
        "run_stoppable": story.is_live or story.state is RunState.QUEUED,
        "run_deletable": not story.is_live,
        "run_trained": story.has_weights and story.is_over,
    }
