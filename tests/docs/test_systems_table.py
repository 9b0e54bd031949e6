"""docs/systems.md says what the catalogue says, of every system and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.catalogue import SYSTEMS
from engine.cli.main import main
from engine.system import System

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "systems.md"


def test_titles_and_parameters_of_every_size_are_those_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["systems", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    counted = {
        each["name"]: (each["title"], each["parameters"], *map(each["sizes"].get, ("small", "toy")))
        for each in said
    }
    told = {
        name: (title, *(int(count.replace(",", "")) for count in counts))
        for name, (title, *counts) in _table("full").items()
    }
    assert told == counted


def test_the_training_of_every_system_is_that_of_the_catalogue() -> None:
    assert _table("heads") == {system.name: _training(system) for system in SYSTEMS}


def _table(column: str) -> dict[str, list[str]]:
    """Return the rows of the table with a column of that name, by system."""
    lines = _PAGE.read_text(encoding="utf-8").splitlines()
    head = next(
        number
        for number, line in enumerate(lines)
        if line.startswith("| name |") and f"| {column} |" in line
    )
    rows: dict[str, list[str]] = {}
    for line in lines[head + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert name.strip("`") not in rows, f"{name} stands there twice"
        rows[name.strip("`")] = cells
    return rows


def _training(system: System) -> list[str]:
    training, preparation = system.training, system.preparation
    return [
        ", ".join(system.head_names),
        ", ".join(loss.name for loss in training.losses),
        training.balance.name,
        f"{training.optimiser.name} {training.optimiser.params['lr']:g}, {training.schedule.name}",
        f"{' × '.join(map(str, training.patch_shape))}, {training.batch_size}",
        " × ".join(f"{edge:g}" for edge in preparation.spacing_mm),
        f"{training.epochs} × {training.steps_per_epoch}",
        "yes" if system.localiser is not None else "no",
    ]
