"""Train systems: begin runs, follow them, pause, stop, resume, delete and register them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog

from app.dialogs.confirm import ConfirmDialog
from app.main_window import MainWindow
from app.session import Session
from app.tasks.data_check import Check
from app.tasks.parameter_counts import counts_of, remember, remembered
from app.tasks.run_process import Question
from app.tasks.run_queue import QueuedRun
from app.tasks.run_request import train_words
from app.tasks.run_story import RunStory
from app.tasks.run_watch import RunWatch
from app.tasks.task import TaskRunner
from engine.archive.registered import all_systems, free_name, register
from engine.archive.run_events import DryRun
from engine.archive.run_folder import RUN_FILE, read_run_file
from engine.archive.runs import delete_run, request
from engine.data.dataset_check import DatasetReport
from engine.errors import CancelledError, IsletError
from engine.run import RunState
from engine.system import System

log = logging.getLogger(__name__)


class TrainSystem(QObject):
    """Answers the training page; what is trained outlives it.

    Args:
        session: Is told when a system was registered.
        window: Whose training page it is.
        watch: Follows the runs.
        tasks: Does what takes a moment.
        question: Asks `islet` for answers that need torch.
        show_error: Tells the user what went wrong.
        cache_folder: Where the counts of parameters are remembered.
        asks: Whether questions may be asked.
    """

    settled = Signal()
    """A check, a dry run, a deletion or a registration is over."""
    _check_progressed = Signal(object, float)

    def __init__(
        self,
        session: Session,
        window: MainWindow,
        watch: RunWatch,
        tasks: TaskRunner,
        question: Question,
        *,
        show_error: Callable[[IsletError], None],
        cache_folder: Path,
        asks: bool = True,
    ) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._page = window.training
        self._watch = watch
        self._tasks = tasks
        self._question = question
        self._counting = Question(self, question.command)
        self._show_error = show_error
        self._cache_folder = cache_folder
        self._asks = asks
        self._check: Check | None = None
        self._has_counts = False
        watch.runs_changed.connect(self._page.show_runs)
        watch.failed.connect(show_error)
        self._page.form.data_chosen.connect(self.check)
        self._check_progressed.connect(self._page.form.check.show_progress)
        session.systems_changed.connect(self._offer_systems)

    def verbs(self) -> dict[str, Callable[[], object]]:
        """Return what this controller does, by action."""
        return {
            "page.reading": self._window.show_reading,
            "page.training": self.open,
            "run.new": self.begin_new,
            "run.choose_data": self.choose_data,
            "run.check": self.check_again,
            "run.dry_run": self.dry_run,
            "run.start": self.start,
            "run.pause": self.pause,
            "run.resume": self.resume,
            "run.stop": self.stop,
            "run.finish": self.finish,
            "run.delete": self.delete,
            "run.register": self.register,
            "run.folder": self.open_folder,
        }

    def follow(self) -> None:
        """Find the runs there are, and follow them from now on."""
        self._watch.start()

    def open(self) -> None:
        """Show the training page."""
        self._window.show_training()
        self._count_parameters()

    def begin_new(self) -> None:
        """Show the form of a new run."""
        self.open()
        self._page.show_form()
        self._page.form.data_field.setFocus()

    def choose_data(self) -> None:
        """Ask for the folder of a data set."""
        named = self._page.form.data
        start = named if named is not None else self._last_data()
        chosen = QFileDialog.getExistingDirectory(self._window, "Choose data set", str(start))
        if chosen:
            self.open()
            self._page.show_form()
            self._page.form.choose_data(Path(chosen))

    def check_again(self) -> None:
        """Check the named data set."""
        folder = self._page.form.data
        if folder is not None:
            self.check(folder)

    def check(self, folder: Path) -> None:
        """Read every case of the data set in `folder`, and list what is wrong."""
        if self._check is not None:
            self._check.cancel()
        check = self._check = Check(folder, self._check_progressed.emit)
        self._page.form.check.show_progress(folder, 0.0)
        self._tasks.run(
            check.run,
            on_success=lambda result: self._on_checked(check, result),
            on_failure=lambda error: self._on_check_failed(check, error),
        )

    def dry_run(self) -> None:
        """Ask what the run in the form would need."""
        asked = self._page.form.request
        if asked is None:
            return
        self._page.form.show_dry_run(None, is_busy=True)
        run_folder = self._watch.folder / asked.name
        words = (*train_words(asked.arguments, asked.data, run_folder), "--dry-run")
        self._question.ask(words, on_success=self._on_dry_run, on_failure=self._on_no_dry_run)

    def start(self) -> None:
        """Begin the run in the form, or let it wait for those before it."""
        asked = self._page.form.request
        if asked is None:
            return
        entry = QueuedRun(asked.name, str(asked.data.absolute()), asked.arguments)
        if self._try(lambda: self._watch.add(entry)):
            log.info("A run of %s was asked for", asked.system)
            self._page.choose(asked.name)

    def pause(self) -> None:
        """Let the chosen run pause after its step."""
        self._ask("pause")

    def resume(self) -> None:
        """Let the chosen run go on, now or when its turn comes."""
        story = self._page.chosen_run
        if story is None:
            return
        if story.state is RunState.PAUSED:
            self._ask("run")
            return
        self._try(lambda: self._watch.add(_resumed(story)))

    def stop(self) -> None:
        """Let the chosen run write a checkpoint and end; one that waits leaves the queue."""
        story = self._page.chosen_run
        if story is None:
            return
        if story.state is RunState.QUEUED:
            self._try(lambda: self._watch.withdraw(story.run_id))
            return
        self._ask("stop")

    def finish(self) -> None:
        """Let the chosen run train no further, and make its last checkpoint its weights."""
        story = self._page.chosen_run
        if story is not None:
            self._try(lambda: self._watch.add(replace(_resumed(story), finishes=True)))

    def delete(self) -> None:
        """Delete the chosen run, once the user has agreed."""
        story = self._page.chosen_run
        if story is None or not self._agrees_to_lose(story):
            return
        self._tasks.run(
            lambda: _delete(self._watch, story),
            on_success=lambda _: self._on_deleted(),
            on_failure=self._fail,
        )

    def register(self) -> None:
        """Make what the chosen run trained a system that analyses, and choose it."""
        story = self._page.chosen_run
        if story is None:
            return
        self._tasks.run(
            lambda: register(story.folder, free_name(story.folder)),
            on_success=self._on_registered,
            on_failure=self._fail,
        )

    def open_folder(self) -> None:
        """Show the folder of the chosen run."""
        story = self._page.chosen_run
        if story is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(story.folder)))

    def shutdown(self) -> None:
        """Follow nothing any more; the runs go on."""
        self._watch.stop()
        self._question.drop()
        self._counting.drop()
        if self._check is not None:
            self._check.cancel()

    def _ask(self, wish: Any) -> None:
        story = self._page.chosen_run
        if story is not None:
            self._try(lambda: request(story.folder, wish))

    def _try(self, do: Callable[[], object]) -> bool:
        try:
            do()
        except IsletError as error:
            self._show_error(error)
            return False
        self._watch.look()
        return True

    def _fail(self, error: IsletError) -> None:
        self._show_error(error)
        self.settled.emit()

    def _agrees_to_lose(self, story: RunStory) -> bool:
        if not self._asks:
            return True
        dialog = ConfirmDialog(
            self._window,
            f"Delete the run {story.run_id}?",
            "Its curves, pictures, log and checkpoints are lost. A system that was registered "
            "from it stays.",
            "Delete",
        )
        return bool(dialog.exec())

    def _on_deleted(self) -> None:
        self._watch.look()
        self.settled.emit()

    def _on_registered(self, system: System) -> None:
        self._session.change_systems()
        self._session.choose_system(system.name)
        self._window.statusBar().showMessage(
            f"{system.name} is chosen to analyse the next case.", 10_000
        )
        self.settled.emit()

    def _on_checked(self, check: Check, result: DatasetReport) -> None:
        if check is self._check:
            self._check = None
            self._page.form.show_report(result)
            self.settled.emit()

    def _on_check_failed(self, check: Check, error: IsletError) -> None:
        if check is self._check:
            self._check = None
            if not isinstance(error, CancelledError):
                self._page.form.check.show_error(error)
            self.settled.emit()

    def _on_dry_run(self, answer: Any) -> None:
        try:
            told = _largest(answer)
        except (KeyError, TypeError, ValueError):
            log.warning("A dry run gave an answer of another shape")
            self._on_no_dry_run(_no_answer())
            return
        self._page.form.show_dry_run(told)
        self.settled.emit()

    def _on_no_dry_run(self, error: IsletError) -> None:
        self._page.form.show_dry_run(error)
        self.settled.emit()

    def _count_parameters(self) -> None:
        """Show how large every system is; the first time, that takes torch a few seconds."""
        if self._has_counts:
            return
        self._has_counts = True
        systems = all_systems()
        known = remembered(self._cache_folder, systems)
        if known is not None:
            self._page.form.show_counts(known)
            return

        def on_rows(rows: Any) -> None:
            counts = counts_of(rows)
            remember(self._cache_folder, systems, counts)
            self._page.form.show_counts(counts)

        self._counting.ask(
            ("systems", "--json"),
            on_success=on_rows,
            on_failure=lambda error: log.warning("No counts of parameters: %s", error.message),
        )

    def _offer_systems(self) -> None:
        self._page.form.offer_systems(all_systems())
        self._has_counts = False

    def _last_data(self) -> Path:
        facts = [dict(story.facts) for story in self._watch.stories]
        folders = [Path(known["Data set"]).parent for known in facts if "Data set" in known]
        return next((folder for folder in folders if folder.is_dir()), Path.home())


def _resumed(story: RunStory) -> QueuedRun:
    """Return what goes on with a run, or begins one anew that never came to anything."""
    has_begun = (story.folder / RUN_FILE).is_file()
    if not has_begun:
        return QueuedRun(story.run_id, dict(story.facts)["Data set"], story.arguments)
    values = read_run_file(story.folder)
    # The rest of what it was begun with, the run itself remembers.
    arguments = {"system": values["args"].get("system", story.system)}
    return QueuedRun(story.run_id, values["data"], arguments, resumes=True)


def _largest(answer: Any) -> DryRun:
    """Return what the most demanding of the systems needs that are fitted one after another."""
    row = max(answer, key=lambda each: each["needed_bytes"])
    text = "\n".join(f"{each['system']}: {each['text']}" for each in answer)
    return DryRun(int(row["needed_bytes"]), int(row["free_bytes"]), 0.0, text)


def _delete(watch: RunWatch, story: RunStory) -> None:
    watch.queue.drop(story.run_id)
    if (story.folder / RUN_FILE).is_file():
        delete_run(story.folder)
        return
    # What never came to anything has left its log at most.
    (story.folder / "log.txt").unlink(missing_ok=True)


def _no_answer() -> IsletError:
    return IsletError(
        "The dry run gave no figures.",
        remedy="Start the training all the same: it checks its memory before the first epoch.",
    )
