"""A researcher trains from the window, leaves, comes back, and uses what was trained."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.program import Program
from app.settings import SettingsStore
from engine.archive.registered import is_registered
from engine.archive.run_folder import read_run_file
from engine.archive.runs import runs_folder
from engine.errors import IsletError
from engine.run import RunState
from tests.engine.training.tiny import write_balls

# Two epochs of a toy, on two cores that others use as well, and torch is loaded twice.
_PATIENCE_MS = 600_000
_RUN = "unet-toy"


class Desk:
    """Opens one program after another, as the same person."""

    def __init__(self, folder: Path, qtbot: QtBot) -> None:
        self.qtbot = qtbot
        self.errors: list[IsletError] = []
        self._ini = str(folder / "islet.ini")
        self.programs: list[Program] = []

    def sit_down(self) -> Program:
        settings = SettingsStore(QSettings(self._ini, QSettings.Format.IniFormat))
        program = Program(
            settings,
            show_error=self.errors.append,
            engine_argv=(sys.executable, "-c", "import sys; sys.stdin.read()"),
        )
        self.programs.append(program)
        program.choose_system("starter")
        program.window.show()
        return program

    def wait_for(self, program: Program, *states: RunState) -> None:
        def is_so() -> bool:
            story = program.window.training.chosen_run
            assert story is None or story.state is not RunState.FAILED, story.log_tail
            return story is not None and story.state in states and story.stage != "start"

        self.qtbot.waitUntil(is_so, timeout=_PATIENCE_MS)


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(sys, "__excepthook__", sys.excepthook)
    for kind in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    desk = Desk(tmp_path, qtbot)
    yield desk
    for program in desk.programs:
        program.window.close()
    file = runs_folder() / _RUN
    if (file / "run.json").exists() and read_run_file(file)["state"] == RunState.RUNNING:
        os.kill(read_run_file(file)["pid"], signal.SIGKILL)


@pytest.mark.timeout(2 * _PATIENCE_MS / 1000)
def test_a_training_outlives_the_window_and_becomes_a_system_of_the_viewer(
    desk: Desk, tmp_path: Path
) -> None:
    data = write_balls(tmp_path / "balls")
    program = desk.sit_down()
    program.perform("run.new")
    form = program.window.training.form
    form.choose_data(data)
    desk.qtbot.waitUntil(lambda: "cases" in form.check.text, timeout=_PATIENCE_MS)
    form.choose_system("unet")
    form.size_choice.choose("toy")
    form.device.setCurrentIndex(form.device.findData("cpu"))
    form.name.setText(_RUN)
    program.perform("run.start")
    desk.wait_for(program, RunState.RUNNING, RunState.FINISHED)
    program.window.close()

    again = desk.sit_down()
    again.perform("page.training")
    again.window.training.choose(_RUN)
    desk.wait_for(again, RunState.FINISHED)
    story = again.window.training.chosen_run
    assert story is not None
    assert story.epochs
    assert story.pictures
    assert again.window.training.run.curves.loss.lines
    again.perform("run.register")
    desk.qtbot.waitUntil(lambda: is_registered(_RUN), timeout=_PATIENCE_MS)
    desk.qtbot.waitUntil(lambda: again.session.system_name == _RUN)
    assert again.window.systems.can_analyse(_RUN)
    assert again.window.systems.choice.findData(_RUN) >= 0
    assert desk.errors == []
