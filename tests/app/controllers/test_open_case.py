from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.controllers import open_case
from app.controllers.open_case import OpenCase
from app.session import Session
from app.settings import SettingsStore
from engine.errors import CancelledError, IsletError
from tests.app.controllers.conftest import FakeTasks, FakeWindow
from tests.app.make import make_case, make_source

_PATH = Path("/data/series")


class Door:
    """An opener whose folder holds what a test says."""

    def __init__(self, tmp_path: Path, tasks: FakeTasks, window: FakeWindow) -> None:
        self.session = Session()
        self.tasks = tasks
        self.window = window
        self.show_error = Mock()
        ini = QSettings(str(tmp_path / "islet.ini"), QSettings.Format.IniFormat)
        self.store = SettingsStore(ini)
        self.opener = OpenCase(
            self.session, window, tasks, self.store, show_error=self.show_error, asks=False
        )
        self.sources = (make_source("Localiser", kind="localiser"), make_source())
        self.case = make_case()
        self.look = self.case.volume


@pytest.fixture
def door(
    tmp_path: Path,
    tasks: FakeTasks,
    fake_window: FakeWindow,
    monkeypatch: pytest.MonkeyPatch,
) -> Door:
    door = Door(tmp_path, tasks, fake_window)
    monkeypatch.setattr(open_case, "find_sources", lambda _path, _report: door.sources)
    monkeypatch.setattr(open_case, "first_look", lambda _source: door.look)
    monkeypatch.setattr(open_case, "read_case", lambda _source, _report: door.case)
    return door


def test_the_first_slice_is_shown_before_the_volume_is_read(door: Door, qtbot: QtBot) -> None:
    door.opener.open(_PATH)
    door.tasks.run_next()
    with qtbot.waitSignal(door.session.first_look_shown):
        door.tasks.run_next()
    assert door.session.case is None
    door.tasks.run_next()
    assert door.session.case is door.case


def test_the_ct_is_opened_and_not_its_localiser(door: Door, qtbot: QtBot) -> None:
    with qtbot.waitSignal(door.session.series_found) as found:
        door.opener.open(_PATH)
        door.tasks.run_all()
    assert found.args == [door.sources, door.sources[1]]


def test_a_case_without_a_first_slice_opens_all_the_same(door: Door) -> None:
    door.look = None
    door.opener.open(_PATH)
    door.tasks.run_all()
    assert door.session.case is door.case


def test_what_was_opened_becomes_the_newest_recent(door: Door) -> None:
    door.opener.open(_PATH)
    door.tasks.run_all()
    assert door.store.settings.recents == (_PATH,)
    door.window.show_recents.assert_called_with((_PATH,))


def test_a_folder_without_a_ct_says_so_and_lists_what_is_there(door: Door, qtbot: QtBot) -> None:
    door.sources = door.sources[:1]
    with qtbot.waitSignals([door.session.series_found, door.opener.settled]):
        door.opener.open(_PATH)
        door.tasks.run_all()
    (error,) = door.show_error.call_args.args
    assert error.message == "There is no CT among the series found."
    assert door.session.case is None


def test_an_unreadable_case_is_told_and_the_job_ends(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = IsletError("Broken.", remedy="Export it again.")
    monkeypatch.setattr(open_case, "read_case", Mock(side_effect=error))
    door.opener.open(_PATH)
    door.tasks.run_all()
    door.show_error.assert_called_once_with(error)
    door.window.end_job.assert_called_once()
    assert not door.opener.is_reading


def test_a_newer_request_wins_over_an_older_one(door: Door) -> None:
    older, newer = make_case("older"), make_case("newer")
    door.opener.open(_PATH)
    door.tasks.run_next()
    door.tasks.run_next()
    (reading_older,) = door.tasks.waiting
    door.tasks.waiting.clear()
    door.case = newer
    door.opener.open(Path("/data/other"))
    door.tasks.run_all()
    door.case = older
    door.tasks.waiting.append(reading_older)
    door.tasks.run_all()
    assert door.session.case is newer


def test_cancelling_keeps_the_reading_from_ending_in_a_case(door: Door) -> None:
    door.opener.open(_PATH)
    door.tasks.run_next()
    door.opener.cancel()
    door.tasks.run_all()
    assert door.session.case is None
    door.show_error.assert_not_called()


def test_an_abandoned_reading_is_stopped_at_its_next_report(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []

    def read(_source: object, report: open_case.OnProgress) -> object:
        reports.append(report)
        return door.case

    monkeypatch.setattr(open_case, "read_case", read)
    door.opener.open(_PATH)
    door.tasks.run_all()
    door.opener.open(_PATH)
    with pytest.raises(CancelledError):
        reports[0]("Reading", 0.5)


def test_progress_reaches_the_job_bar(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_source: object, report: open_case.OnProgress) -> object:
        report("Reading slices", 0.5)
        return door.case

    monkeypatch.setattr(open_case, "read_case", read)
    door.opener.open(_PATH)
    door.tasks.run_all()
    door.window.jobs.show_progress.assert_called_with("Reading slices", 0.5)


def test_closing_a_case_empties_the_list_of_series(door: Door, qtbot: QtBot) -> None:
    door.opener.open(_PATH)
    door.tasks.run_all()
    with qtbot.waitSignal(door.session.series_found) as found:
        door.opener.verbs()["case.close"]()
    assert found.args == [(), None]
    assert door.session.case is None
