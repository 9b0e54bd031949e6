from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QSettings, QtMsgType
from PySide6.QtWidgets import QDialog
from pytestqt.qtbot import QtBot

from app import program as program_module
from app.actions import ACTIONS
from app.panels.systems import SystemsPanel
from app.program import Program
from app.settings import SettingsStore
from app.tasks.engine_process import EngineProcess
from engine.archive.registered import register, unregister
from engine.errors import IsletError
from engine.registry import UnknownNameError
from tests.app.make import make_source
from tests.engine.archive.runs_made import finished_run


class Start:
    """Starts programs of one user, whose engine only listens."""

    def __init__(self, folder: Path) -> None:
        self.ini = str(folder / "islet.ini")
        self.show_error = Mock()
        self.programs: list[Program] = []

    def settings(self) -> SettingsStore:
        return SettingsStore(QSettings(self.ini, QSettings.Format.IniFormat))

    def __call__(self, *, asks: bool = True) -> Program:
        program = Program(
            self.settings(),
            show_error=self.show_error,
            asks=asks,
            engine_argv=(sys.executable, "-c", "import sys; sys.stdin.read()"),
        )
        self.programs.append(program)
        return program


@pytest.fixture
def start(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(SystemsPanel, "can_analyse", lambda _self, name: name == "starter")
    # What is caught goes back to its own place when the window closes.
    monkeypatch.setattr(sys, "__excepthook__", sys.excepthook)
    start = Start(tmp_path)
    yield start
    for program in start.programs:
        program.window.close()


def test_somebody_answers_every_action(start: Start) -> None:
    # What is held is a matter of keys going down and up, which the window itself hears.
    rows = {row.id for row in ACTIONS if not row.held}
    assert start().action_ids == rows


def test_an_action_of_the_menu_is_performed(start: Start) -> None:
    program = start()
    program.window.actions_by_id["window.4"].setEnabled(True)
    program.window.actions_by_id["window.4"].trigger()
    assert program.session.window_hu == (1500.0, -600.0)


def test_a_system_named_on_the_command_line_is_not_remembered(start: Start) -> None:
    program = start()
    program.choose_system("starter")
    assert program.session.system_name == "starter"
    assert start.settings().settings.system == ""


def test_a_system_chosen_in_the_window_is_remembered(start: Start) -> None:
    start().window.systems.system_requested.emit("starter")
    assert start.settings().settings.system == "starter"
    again = start()
    again.choose_system("")
    assert again.session.system_name == "starter"


def test_a_remembered_system_that_is_gone_gives_way_to_the_first(start: Start) -> None:
    start().window.systems.system_requested.emit("retired")
    again = start()
    again.choose_system("")
    assert again.session.system_name == "starter"


def test_a_registered_system_can_be_chosen_at_once_and_a_removed_one_gives_way(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    program = start()
    finished_run(tmp_path / "mine")
    register(tmp_path / "mine")
    program.session.change_systems()
    assert program.session.system_name == "starter"
    program.choose_system("mine")
    assert program.session.system_name == "mine"
    unregister("mine")
    program.session.change_systems()
    assert program.session.system_name == "starter"


def test_an_unknown_system_is_refused(start: Start) -> None:
    with pytest.raises(UnknownNameError):
        start().choose_system("stater")


def test_the_chosen_system_is_warmed_if_it_has_weights(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = Mock()
    monkeypatch.setattr(EngineProcess, "warm", warm)
    program = start()
    program.session.choose_system("other")
    warm.assert_not_called()
    program.session.choose_system("starter")
    warm.assert_called_once_with("starter")


def test_the_window_comes_back_with_the_size_it_had(start: Start) -> None:
    first = start()
    first.place_window((700, 620))
    first.window.show()
    first.window.close()
    again = start()
    again.place_window(None)
    # Its width is that of its panels, wider than the screen of the tests.
    assert again.window.height() == 620


def test_a_window_that_nobody_has_seen_fits_the_screen(start: Start) -> None:
    program = start()
    program.place_window(None)
    assert program.window.width() <= max(
        program.window.screen().availableSize().width(), program.window.minimumSizeHint().width()
    )


def test_a_picture_leaves_no_trace_in_the_settings(start: Start) -> None:
    program = start(asks=False)
    program.window.show()
    program.window.close()
    assert start.settings().settings.window_geometry == b""


@pytest.mark.parametrize("accepts", [True, False])
def test_the_first_run_asks_and_remembers_only_a_yes(
    start: Start, monkeypatch: pytest.MonkeyPatch, accepts: bool
) -> None:
    monkeypatch.delenv("ISLET_RESEARCH_USE_ACCEPTED", raising=False)
    monkeypatch.setattr(QDialog, "exec", lambda _dialog: int(accepts))
    assert start().accepts_research_use() is accepts
    assert start.settings().settings.research_use_accepted is accepts


def test_who_has_accepted_is_not_asked_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISLET_RESEARCH_USE_ACCEPTED", "1")
    monkeypatch.setattr(QDialog, "exec", Mock(side_effect=AssertionError("asked")))
    assert start().accepts_research_use()


def test_what_the_command_line_names_is_analysed_once_it_is_open(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = start()
    monkeypatch.setattr(program.opener, "open", Mock())
    analyse = Mock()
    monkeypatch.setattr(type(program.analyser), "analyse", lambda _self: analyse())
    program.open_at_start(tmp_path, analyse=True)
    program.opener.open.assert_called_once_with(tmp_path)
    analyse.assert_not_called()
    program.opener.settled.emit()
    program.opener.settled.emit()
    analyse.assert_called_once_with()


def test_page_keys_open_the_next_series_that_can_be_opened(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = start()
    opened = Mock()
    monkeypatch.setattr(program.opener, "open_source", opened)
    one, two, scout = make_source("1"), make_source("2"), make_source("3", kind="localiser")
    program.window.series.show_series((scout, one, two), one)
    program.perform("series.previous")
    opened.assert_not_called()
    program.perform("series.next")
    opened.assert_called_once_with(two, (one, two, scout))
    program.window.series.show_series((scout, one, two), two)
    program.perform("series.next")
    opened.assert_called_once()


def test_a_bug_is_told_in_words_with_details(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    program = start()
    told = Mock()
    monkeypatch.setattr(program, "show_error", told)
    _hit_a_bug(program)
    error, details = told.call_args.args
    assert error.message == "Something unexpected went wrong."
    assert details.endswith("ZeroDivisionError")


def test_a_bug_ends_a_program_that_cannot_ask(start: Start) -> None:
    program = start(asks=False)
    program.window.show()
    _hit_a_bug(program)
    (error,) = start.show_error.call_args.args
    assert isinstance(error, IsletError)
    assert not program.window.isVisible()


def test_of_what_qt_says_only_the_noise_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("This plugin does not support propagateSizeHints()", "QPainter: trouble"):
        program_module._say_without_noise(QtMsgType.QtWarningMsg, None, message)
    assert capsys.readouterr().err == "QPainter: trouble\n"


def _hit_a_bug(program: Program) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError as bug:
        program._on_bug(type(bug), bug, bug.__traceback__)
