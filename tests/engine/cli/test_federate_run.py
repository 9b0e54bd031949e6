"""`islet federate run`: what it says before a run, and what a run that goes on may be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import federate_run
from engine.cli.main import main
from engine.federated.run_keeper import Terms, read_order
from tests.app.federations_made import make_coordinator

_TOY = ("--size", "toy", "--rounds", "2", "--share", "0.25")


@pytest.fixture
def coordinator(tmp_path: Path) -> Path:
    return make_coordinator(tmp_path / "c", is_running=True)


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let runs end at once, well, as their supervisor would leave them."""
    names: list[str] = []

    def supervise(folder: Path, name: str, _wait: float) -> None:
        names.append(name)
        place = folder / "runs" / name
        (place / "result.json").write_text(json.dumps({"best_round": 2}), encoding="utf-8")
        (place / "table.md").write_text("| a |\n", encoding="utf-8")

    monkeypatch.setattr(federate_run, "_supervise", supervise)
    return names


def _run(coordinator: Path, *words: str) -> int:
    return main(["federate", "run", str(coordinator), *words, "--run", "first"])


def test_a_dry_run_says_what_it_takes_and_who_is_there(
    coordinator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(coordinator, "c2fnas", *_TOY, "--dry-run", "--json") == 0
    needs: dict[str, Any] = json.loads(capsys.readouterr().out)
    # west was sent away.
    assert (needs["connected_sites"], needs["missing_sites"]) == (["north"], ["south"])
    assert (needs["rounds"], needs["min_sites"]) == (2, 2)
    assert needs["bytes_from_site"] < 0.35 * needs["dense_bytes"]
    assert not (coordinator / "runs").exists()
    assert _run(coordinator, "c2fnas", *_TOY, "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Connected: north. Not connected: south. At least 2 are needed." in said


def test_a_run_is_begun_as_it_was_asked_for(coordinator: Path, supervised: list[str]) -> None:
    assert _run(coordinator, "c2fnas", *_TOY, "--min-sites", "1", "--grace", "5") == 0
    assert supervised == ["first"]
    order, terms = read_order(coordinator / "runs" / "first")
    assert (order.system.name, order.size) == ("c2fnas_fedavg", "toy")
    assert terms == Terms(min_sites=1, grace_s=5.0)


def test_a_resumed_run_takes_new_terms_and_says_what_it_does_not_take(
    coordinator: Path, supervised: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(coordinator, "c2fnas", *_TOY, "--grace", "5") == 0
    begun, _ = read_order(coordinator / "runs" / "first")
    assert _run(coordinator, "c2fnas", *_TOY) == 2
    assert "There is a run called 'first' already." in capsys.readouterr().err
    words = ("unet", "--rounds", "9", "--resume", "--min-sites", "1", "--round-timeout", "60")
    assert _run(coordinator, *words) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "The run goes on as it was begun; not used: --rounds, SYSTEM." in said
    assert read_order(coordinator / "runs" / "first") == (begun, Terms(1, 5.0, 60.0))
    assert _run(coordinator, "--resume") == 0
    assert "not used" not in capsys.readouterr().err
    assert supervised == ["first"] * 3


def test_a_new_run_needs_a_system(coordinator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(coordinator, "--resume") == 2
    assert "It is not said which system the sites should train." in capsys.readouterr().err
