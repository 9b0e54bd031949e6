from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.tasks.run_queue import QueuedRun
from app.tasks.run_story import RunStory
from app.tasks.run_watch import RunWatch
from engine.archive.run_folder import read_run_file
from engine.archive.runs import request
from engine.errors import IsletError
from engine.run import RunState
from tests.app.runs_made import begin_run, finished_run, live_process, lost_run, own, tell_epochs

FAKE_ISLET = (sys.executable, "-m", "tests.app.tasks.fake_islet")


class Place:
    """A folder of runs and those who watch it, one after another."""

    def __init__(self, folder: Path, qtbot: QtBot) -> None:
        self.folder = folder
        self.qtbot = qtbot
        self.watches: list[RunWatch] = []

    def watch(self) -> RunWatch:
        watch = RunWatch(self.folder, command=FAKE_ISLET)
        self.watches.append(watch)
        watch.start()
        return watch

    def wait_for(self, watch: RunWatch, run_id: str, state: RunState) -> RunStory:
        def is_so() -> bool:
            watch.look()
            story = watch.find(run_id)
            return story is not None and story.state is state

        self.qtbot.waitUntil(is_so, timeout=30_000)
        story = watch.find(run_id)
        assert story is not None
        return story


@pytest.fixture
def place(tmp_path: Path, qtbot: QtBot) -> Iterator[Place]:
    place = Place(tmp_path / "runs", qtbot)
    yield place
    for watch in place.watches:
        watch.stop()
        for story in watch.stories:
            if story.is_live and story.stage != "start":
                pid = read_run_file(story.folder)["pid"]
                if pid != os.getpid():
                    os.kill(pid, signal.SIGKILL)


def asked(run_id: str, epochs: int = 2) -> QueuedRun:
    return QueuedRun(run_id, "/data/phantoms", {"system": "starter", "epochs": epochs})


def test_a_run_that_is_asked_for_begins_is_followed_and_finishes(place: Place) -> None:
    watch = place.watch()
    watch.add(asked("first"))
    story = place.wait_for(watch, "first", RunState.FINISHED)
    assert [record.epoch for record in story.epochs] == [1, 2]
    assert story.has_weights
    assert story.done == 1.0
    assert "epoch 2" in story.log_tail
    assert watch.queue.read() == ()


def test_a_reopened_window_finds_a_run_that_goes_on(place: Place) -> None:
    first = place.watch()
    first.add(asked("long", epochs=500))
    place.wait_for(first, "long", RunState.RUNNING)
    place.qtbot.waitUntil(lambda: (place.folder / "long" / "run.json").exists(), timeout=30_000)
    first.stop()
    again = place.watch()
    story = place.wait_for(again, "long", RunState.RUNNING)
    place.qtbot.waitUntil(lambda: again.find("long").step is not None, timeout=30_000)  # type: ignore[union-attr]
    request(story.folder, "stop")
    stopped = place.wait_for(again, "long", RunState.STOPPED)
    assert stopped.can_resume


def test_a_run_pauses_and_goes_on(place: Place) -> None:
    watch = place.watch()
    watch.add(asked("patient", epochs=500))
    place.qtbot.waitUntil(
        lambda: bool((s := watch.find("patient")) and s.step is not None), timeout=30_000
    )
    folder = place.folder / "patient"
    request(folder, "pause")
    place.wait_for(watch, "patient", RunState.PAUSED)
    request(folder, "run")
    place.wait_for(watch, "patient", RunState.RUNNING)
    request(folder, "stop")
    place.wait_for(watch, "patient", RunState.STOPPED)


def test_waiting_runs_begin_in_the_order_they_were_asked_for(place: Place) -> None:
    watch = place.watch()
    for name in ("b", "a", "c"):
        watch.add(asked(name, epochs=1))
    assert [story.run_id for story in watch.stories][:3] == ["b", "a", "c"]
    place.wait_for(watch, "c", RunState.FINISHED)
    told = [(place.folder / name / "events.jsonl").stat().st_mtime for name in ("b", "a", "c")]
    assert told == sorted(told)


def test_a_waiting_run_is_begun_by_the_next_window(place: Place, tmp_path: Path) -> None:
    busy = begin_run(place.folder / "busy")
    first = place.watch()
    first.add(asked("later", epochs=1))
    assert first.find("later").state is RunState.QUEUED  # type: ignore[union-attr]
    first.stop()
    busy.set_state(RunState.FINISHED)
    again = place.watch()
    place.wait_for(again, "later", RunState.FINISHED)


def test_a_run_that_waits_can_leave_the_queue(place: Place) -> None:
    begin_run(place.folder / "busy")
    watch = place.watch()
    watch.add(asked("later"))
    watch.withdraw("later")
    assert watch.find("later") is None


def test_a_killed_run_is_interrupted_and_says_how_it_goes_on(place: Place) -> None:
    run = begin_run(place.folder / "killed")
    tell_epochs(run, 3)
    process = live_process()
    own(run.folder, process)
    watch = place.watch()
    assert watch.find("killed").state is RunState.RUNNING  # type: ignore[union-attr]
    process.kill()
    process.wait()
    watch.look()
    story = watch.find("killed")
    assert story is not None
    assert story.state is RunState.INTERRUPTED
    assert story.can_resume
    assert story.message == "The training was ended from outside, or the computer went off."
    assert story.remedy == "Resume it: it goes on from its last checkpoint."


def test_an_interrupted_run_is_resumed_where_it_was(place: Place) -> None:
    lost_run(place.folder / "lost", last=78)
    watch = place.watch()
    watch.add(QueuedRun("lost", "/data/phantoms", {"system": "starter"}, resumes=True))
    story = place.wait_for(watch, "lost", RunState.FINISHED)
    assert [record.epoch for record in story.epochs] == list(range(1, 81))


def test_a_training_that_cannot_begin_fails_with_its_own_last_words(place: Place) -> None:
    watch = place.watch()
    watch.add(QueuedRun("huge", "/data/phantoms", {"system": "too_large"}))
    story = place.wait_for(watch, "huge", RunState.FAILED)
    assert story.message == "This training needs about 90.0 GB of memory."
    assert story.remedy == "Choose a smaller size."
    assert story.can_resume


def test_a_program_that_is_not_there_is_told_once_and_nothing_is_lost(
    place: Place, tmp_path: Path
) -> None:
    watch = RunWatch(place.folder, command=(str(tmp_path / "nothing here"),))
    errors: list[IsletError] = []
    watch.failed.connect(errors.append)
    watch.add(asked("first"))
    watch.look()
    assert [error.message for error in errors] == ["The training could not be started."]
    assert [error.remedy for error in errors] == [
        "Check that there is room on the disk, or install Islet again."
    ]
    assert [entry.run_id for entry in watch.queue.read()] == ["first"]


def test_a_run_that_does_not_change_stays_the_same_value_and_is_not_told_again(
    place: Place,
) -> None:
    finished_run(place.folder / "done", epochs=3)
    watch = place.watch()
    before = watch.stories
    with place.qtbot.assertNotEmitted(watch.runs_changed):
        watch.look()
    assert watch.stories is before


def test_a_broken_folder_is_listed_with_its_reason(place: Place) -> None:
    (place.folder / "torn").mkdir(parents=True)
    (place.folder / "torn" / "run.json").write_text("{")
    story = place.watch().find("torn")
    assert story is not None
    assert story.is_broken
    assert not story.can_resume
    assert story.message == "The description of the training run is damaged."


def test_a_look_at_many_runs_is_quick(place: Place) -> None:
    for number in range(20):
        finished_run(place.folder / f"run-{number}", epochs=20)
    watch = place.watch()
    began = time.perf_counter()
    watch.look()
    # ours: a tenth of the time between two looks
    assert time.perf_counter() - began < 0.05
