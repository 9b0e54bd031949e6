from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.actions import ActionSet
from app.panels.federation.page import FederationPage
from app.tasks.federation_story import FederationStory, FolderReader
from engine.archive.federation import tell
from engine.archive.run_folder import this_process, write_json
from tests.app.federations_made import (
    gone_process,
    make_coordinator,
    make_run,
    make_site,
    record,
    tell_of_training,
)


@pytest.fixture
def owner(qtbot: QtBot) -> QWidget:
    owner = QWidget()
    qtbot.addWidget(owner)
    return owner


@pytest.fixture
def page(owner: QWidget) -> FederationPage:
    page = FederationPage(ActionSet(owner))
    page.setParent(owner)
    return page


def _story(folder: Path) -> FederationStory:
    return FolderReader(folder).read()


def test_nothing_can_be_done_before_a_folder_is_known(page: FederationPage) -> None:
    page.show_stories(())
    assert page.facts == frozenset()
    assert page.chosen is None


def test_a_coordinator_sees_sites_rounds_and_who_was_missing(
    page: FederationPage, tmp_path: Path
) -> None:
    folder = make_coordinator(tmp_path / "Föderation", is_running=True)
    make_run(folder)
    page.show_stories((_story(folder),))
    assert (
        page.head == "trial: Coordinator of trial  ·  online  ·  round 3 of 5  ·  about 2 min left"
    )
    assert dict(_story(folder).members) == {
        "north": "connected", "south": "approved", "west": "revoked"
    }  # fmt: skip
    lines = {line.name: line for line in page.rounds.weights.lines}
    # The half-written line of round 4 is left out.
    assert lines["south"].xs == (1.0, 2.0, 3.0)
    assert lines["south"].ys == (0.75, 0.75, 0.75)
    assert "Round 2: south is missing. It was slow." in page.rounds.notes.toPlainText()
    assert {"federation_serving", "federation_run_running"} <= page.facts
    assert "federation_startable" not in page.facts


def test_every_site_keeps_its_colour_in_every_chart(page: FederationPage, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c")
    make_run(folder)
    page.show_stories((_story(folder),))
    charts = (page.rounds.loss, page.rounds.weights, *page.rounds.dice.values(), page.rounds.sent)
    for site in ("north", "south"):
        colours = {line.colour for chart in charts for line in chart.lines if line.name == site}
        assert len(colours) == 1


def test_what_comes_before_the_first_round_is_said(page: FederationPage, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c", is_running=True)
    place = make_run(folder, rounds=0)
    tell(place, "preparing", rounds=5, sites=["north", "south"])
    page.show_stories((_story(folder),))
    assert page.head.endswith("online  ·  sites prepare")
    tell(place, "begun", round=1, rounds=5, sites=["north", "south"])
    page.show_stories((_story(folder),))
    assert page.head.endswith("online  ·  round 0 of 5")


def test_a_site_says_how_far_it_has_prepared(page: FederationPage, tmp_path: Path) -> None:
    folder = make_site(tmp_path / "north")
    write_json(folder / "process.json", this_process())
    tell(folder, "state", state="preparing", message="", remedy="")
    tell(folder, "progress", run="first", stage="prepare", fraction=0.43)
    page.show_stories((_story(folder),))
    assert page.note == "Cases are prepared: 43%."
    tell(folder, "state", state="training", message="", remedy="")
    page.show_stories((_story(folder),))
    assert page.note == ""


def test_an_interrupted_run_offers_to_go_on(page: FederationPage, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c", is_running=True)
    place = make_run(folder)
    write_json(place / "process.json", gone_process())
    page.show_stories((_story(folder),))
    assert "federation_run_resumable" in page.facts
    assert not page.buttons["resume"].isHidden()
    assert "It goes on from its last round by Resume." in page.note


def test_a_site_sees_its_server_its_training_and_what_left(
    page: FederationPage, tmp_path: Path
) -> None:
    folder = make_site(tmp_path / "north")
    reader = FolderReader(folder)
    tell_of_training(folder)
    page.show_stories((reader.read(),))
    facts = dict(_story(folder).facts)
    assert facts["Server proved to be"] == "localhost, lab"
    (line,) = page.rounds.own.lines
    assert line.xs == (1.125, 1.25)
    assert page.rounds.sent_table.item(0, 2).text() == "1.00"
    assert page.rounds.sent_table.item(0, 4).text() == "25%"
    # What comes later is read from where the reader was.
    tell(folder, "federation", run="first", record=record(2))
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "step", "torn')
    page.show_stories((reader.read(),))
    assert [line.xs for line in page.rounds.loss.lines] == [(1.0, 2.0)] * 2


def test_a_site_that_has_not_joined_cannot_start(page: FederationPage, tmp_path: Path) -> None:
    folder = make_site(tmp_path / "north", has_joined=False)
    page.show_stories((_story(folder),))
    assert "federation_startable" not in page.facts
    assert "federation_joinable" in page.facts
    assert "not joined yet" in page.head


def test_a_server_that_failed_says_why_and_can_be_started_again(
    page: FederationPage, tmp_path: Path
) -> None:
    folder = make_coordinator(tmp_path / "c")
    tell(folder, "state", state="failed", message="Port 8002 is taken.", remedy="End the other.")
    page.show_stories((_story(folder),))
    assert page.note == "Port 8002 is taken. End the other."
    assert "federation_startable" in page.facts


def test_a_folder_that_vanished_or_is_damaged_says_so(page: FederationPage, tmp_path: Path) -> None:
    page.show_stories((_story(tmp_path / "gone"),))
    assert "no federation's any more" in page.note
    folder = make_site(tmp_path / "north")
    (folder / "site.json").write_text("{", encoding="utf-8")
    page.show_stories((_story(folder),))
    assert "is damaged" in page.note
    assert "federation_chosen" in page.facts


def test_the_newest_folder_is_shown_and_the_chosen_one_stays(
    page: FederationPage, tmp_path: Path
) -> None:
    folders = [make_site(tmp_path / "north"), make_coordinator(tmp_path / "c")]
    page.show_stories(tuple(_story(folder) for folder in folders))
    assert page.chosen is not None
    assert page.chosen.folder == folders[1]
    page.choose(folders[0])
    page.show_stories(tuple(_story(folder) for folder in folders))
    assert page.chosen.folder == folders[0]


def test_no_folder_widens_a_small_window(page: FederationPage, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c", is_running=True)
    make_run(folder)
    trained = make_run(folder, "second", state="stopped")
    (trained / "weights.safetensors").touch()
    page.show_stories((_story(folder), _story(make_site(tmp_path / "north"))))
    for row in range(page.list.count()):
        page.list.setCurrentRow(row)
        for number in range(max(1, page.runs.count())):
            page.runs.setCurrentIndex(number)
            page.runs.activated.emit(number)
            assert page.minimumSizeHint().width() <= 1200
