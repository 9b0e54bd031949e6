from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtWidgets import QDialog, QFileDialog
from pytestqt.qtbot import QtBot

from app.controllers.train_system import TrainSystem
from app.dialogs.confirm import ConfirmDialog
from app.main_window import MainWindow
from app.session import Session
from app.tasks.run_process import Question
from app.tasks.run_watch import RunWatch
from engine.archive.registered import find_system, is_registered
from engine.catalogue import SYSTEMS
from engine.errors import IsletError
from engine.run import RunState
from tests.app.controllers.conftest import FakeTasks
from tests.app.runs_made import begin_run, finished_run, live_process, lost_run, own
from tests.app.test_main_window import FakeGrid

FAKE_ISLET = (sys.executable, "-m", "tests.app.tasks.fake_islet")


class Room:
    """A window with its trainer, whose work is done when told."""

    def __init__(self, folder: Path, qtbot: QtBot) -> None:
        self.qtbot = qtbot
        self.folder = folder / "runs"
        self.session = Session()
        self.window = MainWindow(self.session, FakeGrid(), tuple(SYSTEMS))  # type: ignore[arg-type]
        qtbot.addWidget(self.window)
        self.page = self.window.training
        self.watch = RunWatch(self.folder, self.window, command=FAKE_ISLET)
        self.tasks = FakeTasks()
        self.errors: list[IsletError] = []
        self.trainer = TrainSystem(
            self.session, self.window, self.watch, self.tasks,  # type: ignore[arg-type]
            Question(self.window, FAKE_ISLET),
            show_error=self.errors.append, cache_folder=folder / "cache",
        )  # fmt: skip
        self.trainer.follow()

    def do(self, verb: str) -> None:
        self.trainer.verbs()[verb]()

    def choose(self, run_id: str) -> None:
        self.watch.look()
        self.page.choose(run_id)

    def wait_for(self, run_id: str, state: RunState) -> None:
        def is_so() -> bool:
            self.watch.look()
            story = self.watch.find(run_id)
            return story is not None and story.state is state

        self.qtbot.waitUntil(is_so, timeout=30_000)

    def wait_for_epochs(self, number: int) -> None:
        def is_so() -> bool:
            story = self.page.chosen_run
            return story is not None and len(story.epochs) >= number

        self.qtbot.waitUntil(is_so, timeout=30_000)


@pytest.fixture
def room(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    room = Room(tmp_path, qtbot)
    yield room
    room.trainer.shutdown()


def test_a_run_of_the_form_is_started_followed_stopped_and_resumed(
    room: Room, tmp_path: Path
) -> None:
    room.do("run.new")
    room.page.form.choose_data(tmp_path)
    room.page.form.epochs.setValue(300)
    room.page.form.name.setText("mine")
    room.do("run.start")
    assert room.page.chosen_run is not None
    assert room.page.chosen_run.run_id == "mine"
    room.wait_for_epochs(1)
    room.do("run.pause")
    room.wait_for("mine", RunState.PAUSED)
    room.do("run.resume")
    room.wait_for("mine", RunState.RUNNING)
    room.do("run.stop")
    room.wait_for("mine", RunState.STOPPED)
    num_before = len(room.page.chosen_run.epochs)
    room.do("run.resume")
    room.wait_for_epochs(num_before + 1)
    room.do("run.stop")
    room.wait_for("mine", RunState.STOPPED)
    assert room.errors == []


def test_the_page_is_shown_and_left_and_the_case_stays(room: Room) -> None:
    assert not room.window.training.isVisibleTo(room.window)
    room.do("page.training")
    assert room.window.training.isVisibleTo(room.window)
    assert not room.window.actions_by_id["slice.next"].isEnabled()
    assert room.window.actions_by_id["page.training"].isChecked()
    room.do("page.reading")
    assert not room.window.training.isVisibleTo(room.window)
    assert room.window.actions_by_id["page.reading"].isChecked()


def test_counts_of_parameters_are_asked_for_once_and_remembered(room: Room, tmp_path: Path) -> None:
    room.do("page.training")
    room.page.form.choose_system("starter")
    button = room.page.form.size_choice.button("toy")
    room.qtbot.waitUntil(lambda: button.text() == "Toy  150 k", timeout=30_000)
    assert (tmp_path / "cache" / "parameters.json").exists()


def test_a_chosen_data_set_is_checked_and_its_problems_are_shown(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    room.do("run.choose_data")
    assert room.page.form.data == tmp_path
    assert room.page.form.check.text == "Reading every case…"
    room.tasks.run_all()
    # An empty folder is no data set, and the form says so itself.
    assert "data set" in room.page.form.check.text
    assert room.errors == []


def test_the_answer_for_a_data_set_that_was_left_is_dropped(room: Room, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    room.page.form.choose_data(tmp_path)
    room.page.form.choose_data(tmp_path / "other")
    room.tasks.run_next()
    assert room.page.form.check.text == "Reading every case…"


def test_a_dry_run_tells_of_the_most_demanding_system(room: Room, tmp_path: Path) -> None:
    room.page.form.choose_data(tmp_path)
    with room.qtbot.waitSignal(room.trainer.settled, timeout=30_000):
        room.do("run.dry_run")
    assert room.page.form.dry_run.text.startswith("3 GB of 12 GB free")
    assert not (room.folder / room.page.form.name.text()).exists()


def test_deleting_asks_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(room.folder / "old", epochs=2)
    room.choose("old")
    monkeypatch.setattr(ConfirmDialog, "exec", lambda _self: QDialog.DialogCode.Rejected)
    room.do("run.delete")
    assert room.tasks.waiting == []
    monkeypatch.setattr(ConfirmDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    room.do("run.delete")
    room.tasks.run_all()
    assert not (room.folder / "old").exists()
    assert room.watch.find("old") is None


def test_a_run_that_is_trained_is_not_deleted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConfirmDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    run = begin_run(room.folder / "busy")
    process = live_process()
    try:
        own(run.folder, process)
        room.choose("busy")
        assert not room.window.actions_by_id["run.delete"].isEnabled()
        room.do("run.delete")
        room.tasks.run_all()
    finally:
        process.kill()
        process.wait()
    assert run.folder.exists()
    assert room.errors[0].message == "The run is being trained and cannot be deleted."
    assert room.errors[0].remedy == ("Stop it first, with 'islet runs stop' or in the window.")


def test_a_registered_run_is_offered_and_chosen_in_the_viewer(room: Room) -> None:
    heard = Mock()
    room.session.systems_changed.connect(heard)
    finished_run(room.folder / "good", epochs=2)
    room.choose("good")
    room.do("run.register")
    room.tasks.run_all()
    assert room.errors == []
    assert is_registered("good")
    assert find_system("good").title == SYSTEMS.get("starter").title
    heard.assert_called_once()
    assert room.session.system_name == "good"
    assert room.page.form.system.findData("good") >= 0


def test_a_lost_run_is_resumed_by_what_it_remembers(room: Room) -> None:
    lost_run(room.folder / "lost", last=79)
    room.choose("lost")
    room.do("run.resume")
    room.wait_for("lost", RunState.FINISHED)
    assert len(room.page.chosen_run.epochs) == 80


def test_a_lost_run_is_finished_with_what_it_has(room: Room) -> None:
    lost_run(room.folder / "lost", last=12)
    room.choose("lost")
    assert not room.page.run.buttons["finish"].isHidden()
    room.do("run.finish")
    room.wait_for("lost", RunState.FINISHED)
    assert len(room.page.chosen_run.epochs) == 12
    assert room.page.chosen_run.has_weights
    assert room.page.run.buttons["finish"].isHidden()


def test_a_queue_that_cannot_be_written_is_told(room: Room, tmp_path: Path) -> None:
    room.folder.write_text("in the way")
    room.page.form.choose_data(tmp_path)
    room.do("run.start")
    assert room.errors[0].message == "The queue of runs cannot be written."


def test_a_waiting_run_leaves_the_queue(room: Room, tmp_path: Path) -> None:
    begin_run(room.folder / "busy")
    room.watch.look()
    room.page.form.choose_data(tmp_path)
    room.page.form.name.setText("later")
    room.do("run.start")
    assert room.page.run.buttons["stop"].text() == "Leave queue"
    room.do("run.stop")
    assert room.watch.find("later") is None
