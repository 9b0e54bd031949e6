from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.archive.registered import find_system, is_registered
from engine.archive.runs import read_run, runs_folder
from engine.catalogue import SYSTEMS
from engine.cli import systems as systems_module
from engine.cli.main import main
from engine.networks.build import build
from engine.run import RunState
from engine.system import Part
from tests.engine.archive.runs_made import TINY, begin_run, finished_run


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user data"))
    # Tables are cut to the terminal; wide enough for their words.
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def few_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    sized = replace(TINY, name="sized", sizes={"toy": replace(TINY, localiser=None)})
    monkeypatch.setattr(SYSTEMS, "_parts", {"sized": sized})


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_listed_with_their_state_and_their_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished_run(runs_folder() / "good", dice=0.8)
    begin_run(runs_folder() / "broken")
    (runs_folder() / "broken/run.json").write_text("{")
    good, broken = _said(capsys, "runs")
    assert (good["run_id"], good["system"], good["size"]) == ("good", "tiny", "toy")
    assert (good["state"], good["epoch"], good["epochs"]) == ("finished", 2, 2)
    assert good["best_score"] == pytest.approx(0.8)
    assert broken == {
        "run_id": "broken",
        "state": "damaged",
        "error": "The description of the training run is damaged.",
    }
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    for word in ("good", "finished", "2/2", "0.800", "broken", "damaged"):
        assert word in table


def test_where_there_are_no_runs_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("There are no runs in ")


def test_a_run_is_shown_with_its_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    run = finished_run(runs_folder() / "good", dice=0.8)
    run.emit("alarm", text="The classifier collapsed.")
    run.set_state(RunState.FAILED, "The disk is full.", "Free some space.")
    assert main(["runs", "show", "good"]) == 0
    text = capsys.readouterr().out
    for words in ("tiny, toy", "failed", "2 of 2 finished", "The classifier collapsed."):
        assert words in text
    for words in ("The disk is full.", "Free some space.", "dice lesion", "0.700"):
        assert words in text
    assert main(["runs", "show", "good", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [record["epoch"] for record in told["history"]] == [1, 2]
    assert told["alarms"] == ["The classifier collapsed."]


def test_an_unknown_run_is_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(runs_folder() / "good")
    assert main(["runs", "show", "god"]) == 2
    told = capsys.readouterr().err
    assert told == "There is no training run called 'god'.\nDid you mean 'good'?\n"


def test_runs_are_compared_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(runs_folder() / "poor", dice=0.3)
    finished_run(runs_folder() / "good", dice=0.8)
    rows = _said(capsys, "runs", "compare", "poor", "good")
    assert [row["run_id"] for row in rows] == ["good", "poor"]
    assert rows[0]["scores"]["dice pancreas"] == pytest.approx(0.9)
    assert main(["runs", "compare", "poor", "good"]) == 0
    table = capsys.readouterr().out
    assert table.index("good") < table.index("poor")
    # A narrow terminal shortens the names of the columns; programs read the whole of them.
    assert "dice lesion" in rows[0]["scores"]


def test_deleting_asks_first(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    finished_run(runs_folder() / "one")
    finished_run(runs_folder() / "two")
    monkeypatch.setattr("typer.confirm", lambda question, **_named: "one" not in question)
    assert main(["runs", "delete", "one"]) == 0
    assert (runs_folder() / "one").exists()
    assert main(["runs", "delete", "two"]) == 0
    assert not (runs_folder() / "two").exists()
    assert main(["runs", "delete", "one", "--yes"]) == 0
    assert not (runs_folder() / "one").exists()
    assert capsys.readouterr().out == ""


def test_a_run_in_training_is_paused_resumed_and_stopped_not_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = begin_run(runs_folder() / "live")
    for verb, wish in (("pause", "pause"), ("resume", "run"), ("stop", "stop")):
        assert main(["runs", verb, "live"]) == 0
        assert run.wanted() == wish
    assert main(["runs", "delete", "live", "--yes"]) == 2
    assert "The run is being trained and cannot be deleted." in capsys.readouterr().err
    run.set_state(RunState.STOPPED)
    assert main(["runs", "pause", "live"]) == 2
    assert read_run(runs_folder() / "live").state is RunState.STOPPED


def test_a_run_is_registered_by_name_and_removed_again(capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(runs_folder() / "good")
    assert main(["register", "good", "--name", "mine"]) == 0
    assert "--system mine" in capsys.readouterr().err
    assert find_system("mine").title == TINY.title
    assert main(["register", "good", "--name", "mine"]) == 2
    assert "There is a registered system called 'mine' already." in capsys.readouterr().err
    assert main(["unregister", "mine"]) == 0
    assert not is_registered("mine")


@pytest.mark.usefixtures("few_systems")
def test_systems_list_what_was_registered_and_what_is_damaged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished_run(runs_folder() / "good")
    main(["register", "good"])
    main(["register", "good", "--name", "bad"])
    (runs_folder().parent / "systems/bad/system.json").write_text("{")
    capsys.readouterr()
    assert main(["systems", "--json"]) == 0
    told = capsys.readouterr()
    sized, good = json.loads(told.out)
    assert (sized["name"], sized["weights"], sized["registered"]) == ("sized", "none", False)
    assert (good["name"], good["weights"], good["registered"]) == ("good", "installed", True)
    assert told.err.startswith("The registered system 'bad' is damaged. Remove it with")
    assert main(["systems"]) == 0
    table = capsys.readouterr().out
    assert "train first" in table
    assert "trained here" in table


@pytest.mark.usefixtures("few_systems")
def test_systems_count_the_parameters_of_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    (sized,) = _said(capsys, "systems")
    own = systems_module._num_parameters(TINY)
    assert sized["parameters"] == own
    assert sized["sizes"] == {"toy": own}
    assert TINY.localiser is not None
    assert sized["localiser_parameters"] == systems_module._num_parameters(TINY.localiser)


@pytest.mark.parametrize(
    "network",
    [TINY.network, Part("swin_unetr", {"feature_size": 12})],
    ids=["resenc_unet", "swin_unetr"],
)
def test_parameters_are_those_of_the_network_that_would_be_built(network: Part) -> None:
    system = replace(TINY, network=network)
    built = sum(parameter.numel() for parameter in build(system).parameters())
    assert systems_module._num_parameters(system) == built


def test_an_unknown_system_is_refused_before_the_case_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished_run(runs_folder() / "good")
    main(["register", "good", "--name", "trained_here"])
    capsys.readouterr()
    words = ["predict", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    assert main([*words, "--system", "trained_her"]) == 2
    told = capsys.readouterr().err
    assert told == "There is no system called 'trained_her'.\nDid you mean 'trained_here'?\n"
