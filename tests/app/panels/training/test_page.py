from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from app import theme
from app.actions import ActionSet
from app.panels.training.chart import Line
from app.panels.training.page import TrainingPage
from app.panels.training.plot import Plot
from app.tasks.run_story import RunStory, story_of
from engine.archive.run_events import DryRun
from engine.archive.runs import read_details
from engine.catalogue import SYSTEMS
from engine.data.dataset_check import DatasetReport, Problem
from engine.errors import IsletError
from engine.run import RunState
from engine.system import System
from tests.app.runs_made import begin_run, draw_picture, finished_run, lost_run, tell_epochs


class Room:
    """A training page and the commands of a window."""

    def __init__(self, qtbot: QtBot) -> None:
        self.window = QMainWindow()
        qtbot.addWidget(self.window)
        self.actions = ActionSet(self.window)
        self.page = TrainingPage(tuple(SYSTEMS), self.actions)
        self.page.facts_changed.connect(lambda: self.actions.set_facts(self.page.facts))
        self.window.setCentralWidget(self.page)
        self.window.resize(1366, 768)
        self.window.show()

    @property
    def form(self):
        return self.page.form

    def enabled(self) -> set[str]:
        return {
            row for row in ("start", "dry_run", "check", "pause", "resume", "stop", "delete",
                            "register", "folder")
            if self.actions[f"run.{row}"].isEnabled()
        }  # fmt: skip


@pytest.fixture
def room(qtbot: QtBot) -> Room:
    return Room(qtbot)


def story_at(folder: Path) -> RunStory:
    return story_of(read_details(folder))


@pytest.fixture
def finished(tmp_path: Path) -> RunStory:
    return story_at(finished_run(tmp_path / "finished", epochs=5).folder)


@pytest.fixture
def running(tmp_path: Path) -> RunStory:
    run = begin_run(tmp_path / "running")
    tell_epochs(run, 4)
    return story_at(run.folder)


def test_the_form_asks_for_a_data_set_first(room: Room, tmp_path: Path, qtbot: QtBot) -> None:
    assert room.form.request is None
    assert room.enabled() == set()
    with qtbot.waitSignal(room.form.data_chosen) as told:
        room.form.choose_data(tmp_path)
    assert told.args == [tmp_path]
    assert room.enabled() == {"start", "dry_run", "check"}


def test_the_request_is_what_the_form_shows(room: Room, tmp_path: Path) -> None:
    form = room.form
    form.choose_data(tmp_path)
    form.choose_system("starter")
    form.size_choice.choose("small")
    form.fold.setCurrentIndex(form.fold.count() - 1)
    form.epochs.setValue(7)
    form.offer_devices(("cpu", "cuda:0"))
    form.device.setCurrentIndex(form.device.findData("cuda:0"))
    form.num_devices.setValue(2)
    form.head.choose("paper")
    form.name.setText("mine")
    asked = form.request
    assert asked is not None
    assert (asked.name, asked.data, asked.system, asked.size) == (
        "mine", tmp_path, "starter", "small"
    )  # fmt: skip
    assert (asked.fold, asked.epochs, asked.device, asked.num_devices) == (None, 7, "cuda:0", 2)
    assert asked.head == "paper"


def test_a_name_is_proposed_that_no_run_has(room: Room, finished: RunStory) -> None:
    room.form.choose_system("starter")
    room.form.size_choice.choose("toy")
    room.form.size_choice.chosen.emit("toy")
    assert room.form.name.text() == "starter-toy-fold0"
    room.page.show_runs((replace(finished, run_id="starter-toy-fold0"),))
    assert room.form.name.text() == "starter-toy-fold0-2"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "A run needs a name."),
        ("a/b", "Use letters, digits, points, hyphens and underscores only."),
        ("finished", "There is a run of that name."),
    ],
)
def test_a_name_that_does_not_do_says_why(
    room: Room, tmp_path: Path, finished: RunStory, name: str, words: str
) -> None:
    room.form.choose_data(tmp_path)
    room.page.show_runs((finished,))
    room.form.name.setText(name)
    room.form.name.textEdited.emit(name)
    if name:
        assert room.form.name_note.text() == words
        assert room.form.request is None
    assert not name or "start" not in room.enabled()


def test_only_sizes_and_heads_that_a_system_has_are_offered(room: Room) -> None:
    starter = SYSTEMS.get("starter")
    alone = System(
        "alone", "Alone", "tests", starter.network, starter.heads[:1], starter.preparation,
        starter.training, starter.inference,
    )  # fmt: skip
    room.form.offer_systems((alone,))
    assert room.form.size_choice.choice == "full"
    assert not room.form.head.isVisible()
    assert not room.form.shipped.isVisible()
    room.form.show_counts({("alone", "full"): 8_063_154})
    assert room.form.size_choice.button("full").text() == "Full  8.1 M"
    assert "8,063,154" in room.form.size_choice.button("full").toolTip()


@pytest.mark.parametrize(
    ("system", "size", "is_offered"),
    [
        ("starter", "toy", False),
        ("starter", "full", True),
        ("c2fnas", "full", False),
        ("c2fnas", "small", True),
    ],
)
def test_the_localiser_that_ships_is_offered_where_it_serves(
    room: Room, tmp_path: Path, system: str, size: str, is_offered: bool
) -> None:
    room.form.choose_system(system)
    room.form.size_choice.button(size).click()
    assert room.form.shipped.isVisible() == is_offered
    room.form.shipped.setChecked(True)
    room.form.choose_data(tmp_path)
    request = room.form.request
    assert request is not None
    assert request.uses_shipped_localiser == is_offered


def test_the_check_lists_every_problem_and_offers_to_leave_broken_cases_out(room: Room) -> None:
    assert not room.form.skip_broken.isVisible()
    problems = (Problem("a", "values", "It holds 1.0000153."), Problem("b", "x", "No label map."))
    room.form.show_report(DatasetReport((), {}, problems, 0))
    assert room.form.check.problem_texts == ("It holds 1.0000153.", "No label map.")
    assert "2 problems found." in room.form.check.text
    assert room.form.skip_broken.isVisible()
    room.form.show_report(DatasetReport((), {}, (), 0))
    assert room.form.check.problem_texts == ()
    assert "No problem was found." in room.form.check.text
    assert not room.form.skip_broken.isVisible()


def test_a_dry_run_is_forgotten_when_the_plan_changes(room: Room) -> None:
    view = room.form.dry_run
    room.form.show_dry_run(DryRun(3_000_000_000, 12_000_000_000, 0.5, "It fits."))
    assert view.text == "3 GB of 12 GB free  ·  0.5 s a step\nIt fits."
    room.form.fold.setCurrentIndex(1)
    assert view.text == "A dry run says how much memory this run needs, before it starts."
    room.form.show_dry_run(IsletError("It does not fit.", remedy="Choose a smaller size."))
    assert view.text == "It does not fit. Choose a smaller size."


def test_a_chosen_run_is_shown_with_its_figures(room: Room, running: RunStory) -> None:
    room.page.show_runs((running,))
    room.page.choose("running")
    shown = room.page.run
    assert shown.text == (
        "running: Epoch 4 of 80  ·  39 min left  ·  Starter: pancreas, lesions and subtype"
    )
    assert shown.figure("Epoch") == "4 of 80"
    assert shown.figure("Memory") == "2.1 GB"
    assert room.enabled() == {"pause", "stop", "folder"}
    names = [line.name for line in shown.curves.loss.lines]
    assert names == ["segmentation", "detection", "subtype"]
    dice = {line.name: line.colour for line in shown.curves.dice.lines}
    assert dice["lesion"] == theme.structure_colour("lesion").name()
    assert [line.name for line in shown.curves.others.lines] == ["macro-F1"]


def test_the_first_epoch_shows_its_steps(room: Room, tmp_path: Path) -> None:
    run = begin_run(tmp_path / "young")
    tell_epochs(run, 1)
    room.page.show_runs((story_at(run.folder),))
    room.page.choose("young")
    assert room.page.run.curves.loss.lines[0].xs == (0.2, 0.6, 1.0)


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        (RunState.QUEUED, {"stop", "delete", "folder"}),
        (RunState.PAUSED, {"resume", "stop", "folder"}),
        (RunState.STOPPED, {"resume", "delete", "register", "folder"}),
        (RunState.FINISHED, {"delete", "register", "folder"}),
        (RunState.FAILED, {"resume", "delete", "register", "folder"}),
    ],
)
def test_a_run_may_do_what_its_state_allows(
    room: Room, finished: RunStory, state: RunState, commands: set[str]
) -> None:
    room.page.show_runs((replace(finished, state=state),))
    room.page.choose("finished")
    assert room.enabled() == commands - ({"register"} if state is RunState.QUEUED else set())


def test_a_failure_stands_above_the_curves_with_its_remedy(room: Room, tmp_path: Path) -> None:
    room.page.show_runs((story_at(lost_run(tmp_path / "lost").folder),))
    room.page.choose("lost")
    assert room.page.run.note.text == (
        "The training was ended from outside, or the computer went off. "
        "Resume it: it goes on from its last checkpoint."
    )
    assert room.actions["run.resume"].isEnabled()


def test_an_alarm_is_told_while_the_run_goes_on(room: Room, running: RunStory) -> None:
    room.page.show_runs((replace(running, alarms=("The classifier has collapsed.",)),))
    room.page.choose("running")
    assert room.page.run.note.text == "The classifier has collapsed."


def test_pictures_follow_the_newest_until_another_is_chosen(room: Room, tmp_path: Path) -> None:
    run = begin_run(tmp_path / "seen")
    first, second = draw_picture(run, 1), draw_picture(run, 2)
    view = room.page.run.pictures
    view.show_run(story_at(run.folder))
    assert view.shown == second
    view.slider.setValue(0)
    draw_picture(run, 3)
    view.show_run(story_at(run.folder))
    assert view.shown == first
    view.slider.setValue(2)
    fourth = draw_picture(run, 4)
    view.show_run(story_at(run.folder))
    assert view.shown == fourth
    assert view.picture.has_image


def test_the_log_follows_its_end_unless_the_reader_scrolled_up(room: Room) -> None:
    log = room.page.run.log
    room.page.run.tabs.setCurrentIndex(2)
    text = "\n".join(f"line {number}" for number in range(300))
    log.resize(300, 200)
    log.show_text("a", text)
    bar = log.verticalScrollBar()
    assert bar.value() == bar.maximum()
    bar.setValue(10)
    log.show_text("a", f"{text}\nmore")
    assert bar.value() == 10


def test_several_chosen_runs_are_compared(room: Room, tmp_path: Path, finished: RunStory) -> None:
    other = story_at(finished_run(tmp_path / "other", epochs=5, best=0.5, seed=2).folder)
    room.page.show_runs((finished, other))
    room.page.list.choose(("finished", "other"))
    compare = room.page.compare
    assert compare.isVisible()
    assert compare.table.rowCount() == 2
    best = [compare.table.item(row, 4).font().bold() for row in range(2)]
    assert best == [True, False]
    assert [line.name for line in compare.plots[0].lines] == ["finished", "other"]
    assert room.enabled() == set()
    choice = compare.choices[0]
    choice.setCurrentIndex(choice.findData("dice lesion"))
    assert compare.plots[0].title == "Dice lesion"
    assert compare.plots[0].lines[0].ys[-1] == pytest.approx(
        finished.epochs[-1].scores["dice lesion"]
    )


def test_a_chosen_run_stays_chosen_while_others_come_and_go(
    room: Room, finished: RunStory, running: RunStory
) -> None:
    room.page.show_runs((finished,))
    room.page.choose("finished")
    room.page.show_runs((running, finished))
    assert room.page.chosen_run is not None
    assert room.page.chosen_run.run_id == "finished"
    room.page.show_runs((running,))
    assert room.page.chosen_run is None
    assert not room.page.run.isVisible()


def test_a_run_that_would_wait_is_added_to_the_queue(
    room: Room, running: RunStory, finished: RunStory
) -> None:
    room.page.show_runs((finished,))
    assert room.actions["run.start"].text() == "Start training"
    room.page.show_runs((running,))
    assert room.actions["run.start"].text() == "Add to queue"


def test_the_pointer_reads_the_nearest_epoch_and_keys_walk_on(qtbot: QtBot) -> None:
    plot = Plot("Loss")
    qtbot.addWidget(plot)
    plot.resize(400, 260)
    plot.show_lines((Line("a", (1, 2, 3), (3.0, 2.0, 1.0), "#ffffff"),))
    plot.show()
    area = plot._area()
    QTest.mouseMove(plot, QPoint(int(area.center().x()), int(area.center().y())))
    qtbot.waitUntil(lambda: plot.readout == ("Epoch 2", "a  2"))
    QTest.keyClick(plot, Qt.Key.Key_Right)
    assert plot.readout == ("Epoch 3", "a  1")
    plot.point_at(None)
    assert plot.readout == ()


def test_lines_are_drawn_in_their_colours(qtbot: QtBot) -> None:
    plot = Plot("Loss")
    qtbot.addWidget(plot)
    plot.resize(400, 260)
    empty = plot.grab().toImage()
    plot.show_lines((Line("a", (1, 2, 3), (1.0, 1.0, 1.0), "#ff0000"),))
    drawn = plot.grab().toImage()
    red = [
        (x, y) for x in range(0, 400, 2) for y in range(260)
        if drawn.pixelColor(x, y).red() > 200 and drawn.pixelColor(x, y).green() < 60
    ]  # fmt: skip
    assert len(red) > 100
    assert empty != drawn


@pytest.mark.parametrize("size", [(1366, 700), (1600, 930)])
def test_nothing_overlaps_or_is_cut_off(
    room: Room, finished: RunStory, size: tuple[int, int]
) -> None:
    long = replace(finished, run_id="a-very-long-name" * 12, message="It broke. " * 8)
    room.page.show_runs((replace(long, state=RunState.FAILED),))
    room.page.choose(long.run_id)
    room.window.resize(*size)
    room.window.grab()
    assert room.window.width() == size[0]
    buttons = [b for b in room.page.run.buttons.values() if b.isVisible()]
    edges = [b.mapTo(room.page, QPoint(0, 0)).x() for b in buttons]
    assert all(b.width() >= b.sizeHint().width() for b in buttons)
    assert edges == sorted(edges)
    assert edges[-1] + buttons[-1].width() <= room.page.width()
