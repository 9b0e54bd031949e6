"""Follow every run there is, whoever started it, and let the next one begin when one ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from app.tasks.run_process import Launcher, islet_command, last_words
from app.tasks.run_queue import QueuedRun, RunQueue, written_ns
from app.tasks.run_request import train_words
from app.tasks.run_story import RunStory, broken_story, fold_text, size_text, story_of
from engine.archive.run_folder import LOG_FILE, RUN_FILE
from engine.archive.runs import RunReader
from engine.errors import IsletError
from engine.run import RunState

log = logging.getLogger(__name__)

POLL_MS = 500
_TAIL_BYTES = 20_000
_COULD_NOT_BEGIN = (
    "The training ended before its first step.",
    "Look into its log, put right what it names, and resume it.",
)


@dataclass(slots=True, eq=False)
class _Known:
    """What is kept of a run from one look to the next."""

    reader: RunReader
    has_steps: bool
    mark: tuple[int, int]
    story: RunStory


class RunWatch(QObject):
    """Looks at the runs' folders twice a second; nothing in them is kept by the window.

    Args:
        folder: Holds the runs' folders.
        parent: Qt's owner.
        command: What `islet` is called by.
    """

    runs_changed = Signal(object)
    """tuple[RunStory, ...]: those that wait in their order, then the others, newest first."""
    failed = Signal(object)
    """An IsletError: a waiting run could not be started."""

    def __init__(
        self, folder: Path, parent: QObject | None = None, *, command: Sequence[str] | None = None
    ) -> None:
        super().__init__(parent)
        self.folder = folder
        self.queue = RunQueue(folder)
        self._command = tuple(islet_command() if command is None else command)
        self._known: dict[str, _Known] = {}
        self._stories: tuple[RunStory, ...] = ()
        self._is_stuck = False
        self._launcher = Launcher()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.look)

    @property
    def stories(self) -> tuple[RunStory, ...]:
        """The runs as they were at the last look."""
        return self._stories

    @property
    def is_occupied(self) -> bool:
        """Whether a run that is asked for now would have to wait."""
        return any(story.is_live or story.state is RunState.QUEUED for story in self._stories)

    def find(self, run_id: str) -> RunStory | None:
        """Return the run called `run_id`; None where there is none."""
        return next((story for story in self._stories if story.run_id == run_id), None)

    def start(self) -> None:
        """Look now, and go on looking."""
        self.look()
        self._timer.start()

    def stop(self) -> None:
        """Look no more; the runs go on."""
        self._timer.stop()
        self._launcher.let_go()

    def look(self) -> None:
        """Read what is new, tell of it, and start the next run where nothing is at work."""
        self._launcher.bury()
        stories = self._read()
        if stories != self._stories:
            self._stories = stories
            self.runs_changed.emit(stories)
        if self._may_begin(stories):
            self._begin_next()

    def add(self, entry: QueuedRun) -> None:
        """Let a run wait for its turn, which may be now.

        Raises:
            QueueError: If the queue cannot be written.
        """
        self.queue.put(entry)
        self._is_stuck = False
        self.look()

    def withdraw(self, run_id: str) -> None:
        """Let a run wait no more.

        Raises:
            QueueError: If the queue cannot be written.
        """
        self.queue.drop(run_id)
        self.look()

    def _may_begin(self, stories: tuple[RunStory, ...]) -> bool:
        waits = any(story.state is RunState.QUEUED for story in stories)
        return waits and not self._is_stuck and not any(story.is_live for story in stories)

    def _begin_next(self) -> None:
        try:
            taken = self.queue.take_next(self._launch)
        except IsletError as error:
            # Tried again at every look, it would be told at every look.
            self._is_stuck = True
            self.failed.emit(error)
            return
        if taken is not None:
            self.look()

    def _launch(self, entry: QueuedRun) -> tuple[int, float]:
        run_folder = self.folder / entry.run_id
        words = train_words(entry.arguments, Path(entry.data), run_folder)
        if entry.resumes:
            words = (*words, "--resume")
        if entry.finishes:
            words = (*words, "--finish")
        return self._launcher.start((*self._command, *words), run_folder)

    def _read(self) -> tuple[RunStory, ...]:
        entries = {entry.run_id: entry for entry in self.queue.read()}
        told = {run_id: self._story(path) for run_id, path in self._run_folders().items()}
        self._known = {run_id: known for run_id, known in self._known.items() if run_id in told}
        waiting: list[RunStory] = []
        for run_id, entry in entries.items():
            if entry.has_arrived(self.folder / run_id):
                self._drop(run_id)
            else:
                waiting.append(self._queued_story(entry, told.pop(run_id, None)))
        others = sorted(told.values(), key=lambda story: story.started, reverse=True)
        others.sort(key=lambda story: not story.is_live)
        return (*waiting, *others)

    def _run_folders(self) -> dict[str, Path]:
        try:
            paths = sorted(self.folder.iterdir())
        except OSError:
            return {}
        return {path.name: path for path in paths if (path / RUN_FILE).is_file()}

    def _story(self, folder: Path) -> RunStory:
        known = self._known.get(folder.name)
        mark = (written_ns(folder), _size_of(folder / LOG_FILE))
        if known is not None and known.mark == mark and not known.story.is_live:
            return known.story
        reader = known.reader if known is not None else RunReader(folder, with_steps=False)
        has_steps = known is not None and known.has_steps
        story = _read_story(reader, folder)
        if story.is_live and not has_steps:
            # Only what is at work shows its steps; of the others, there may be very many.
            reader, has_steps = RunReader(folder), True
            story = _read_story(reader, folder)
        if known is not None and known.story == story:
            # An equal story stays the same one, so that nobody draws it again.
            story = known.story
        self._known[folder.name] = _Known(reader, has_steps, mark, story)
        return story

    def _queued_story(self, entry: QueuedRun, told: RunStory | None) -> RunStory:
        folder = self.folder / entry.run_id
        story = told if told is not None else _story_of_request(entry, folder)
        tail = _tail_of(folder / LOG_FILE)
        if entry.is_waiting:
            return replace(story, state=RunState.QUEUED, message="", remedy="", log_tail=tail)
        if entry.is_starting:
            return replace(
                story, state=RunState.RUNNING, stage="start", message="", remedy="", log_tail=tail
            )
        message, remedy = last_words(tail)
        if not message:
            message, remedy = _COULD_NOT_BEGIN
        return replace(story, state=RunState.FAILED, message=message, remedy=remedy, log_tail=tail)

    def _drop(self, run_id: str) -> None:
        try:
            self.queue.drop(run_id)
        except IsletError as error:
            # It is asked again at the next look.
            log.warning("%s", error.message)


def _read_story(reader: RunReader, folder: Path) -> RunStory:
    try:
        return story_of(reader.read())
    except IsletError as error:
        return broken_story(folder, error)


def _story_of_request(entry: QueuedRun, folder: Path) -> RunStory:
    name = str(entry.arguments.get("system", ""))
    fold = entry.arguments.get("fold")
    size = str(entry.arguments.get("size", "full"))
    facts = (
        ("System", name),
        ("Size", size_text(size)),
        ("Data set", entry.data),
        ("Validation", fold_text(fold)),
        ("Device", str(entry.arguments.get("device", "auto"))),
        ("Folder", str(folder)),
    )
    return RunStory(
        entry.run_id,
        folder,
        RunState.QUEUED,
        system=name,
        title=name,
        facts=facts,
        arguments=entry.arguments,
    )


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - _TAIL_BYTES, 0))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
