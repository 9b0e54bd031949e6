"""docs/training.md lists the options of `islet train` and the events of a run, each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import typer
from PIL import Image

from engine.archive.run_folder import EVENTS_FILE, RunFolder
from engine.cli.main import app
from engine.run import EpochRecord, RunState
from engine.training.events import RunLog
from engine.training.follow import StepRecord
from tests.engine.archive.runs_made import begin_run

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_every_option_of_the_command_is_listed_and_no_other() -> None:
    command = typer.main.get_command(app).commands["train"]  # pyright: ignore[reportAttributeAccessIssue]
    options = {name for each in command.params for name in each.opts if name.startswith("--")}
    assert set(_first_words("option")) == options - {"--help"}


def test_every_event_has_the_fields_that_are_listed(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    _tell_everything(run)
    lines = (run.folder / EVENTS_FILE).read_text(encoding="utf-8").splitlines()
    written = {each.pop("event"): set(each) - {"time"} for each in map(json.loads, lines)}
    assert {kind: set(fields) for kind, fields in _events().items()} == written


def _tell_everything(run: RunFolder) -> None:
    losses = {"segmentation": 0.5}
    with RunLog(run) as log:
        log.set_state(RunState.RUNNING)
        log.on_dry_run(needed_bytes=1, free_bytes=2, text="It fits.")
        log.on_progress("check", 0.5)
        log.on_step(StepRecord("tiny", 1, 2, 1, 4, losses, {"segmentation": 1.0}, None))
        log.on_epoch("tiny", 2, EpochRecord(1, losses, {}, 3.0))
        path = log.picture_path(1)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
        log.on_picture(1, path)
        log.on_alarm("Look.")


def _events() -> dict[str, list[str]]:
    """Return the fields of every event, as the page lists them."""
    rows = (re.split(r"(?<!\\)\|", line)[1:3] for line in _rows("`event`"))
    return {kind.strip(" `"): re.findall(r"`(\w+)`", fields) for kind, fields in rows}


def _first_words(column: str) -> list[str]:
    return [line.split("|")[1].strip(" `") for line in _rows(column)]


def _rows(column: str) -> list[str]:
    """Return the rows of the table whose first column has that name."""
    lines = _PAGE.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"| {column} |")) + 2
    last = next(n for n in range(first, len(lines)) if not lines[n].startswith("|"))
    return lines[first:last]
