"""A run's folder holds everything of it, whatever its sites answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.archive.federation import FederationFolderError, read_lines
from engine.archive.registered import register
from engine.catalogue.federations import federated
from engine.federated.run_keeper import Answer, RunKeeper, Terms, read_order, write_order
from engine.federated.sharing import decode, encode
from engine.federated.site_order import SiteOrder, SiteOrderError, order_from_json
from engine.system import Federation, Part, System
from tests.engine.training.tiny import TINY

_RULE = Federation(("a", "b"), 2, 1, Part("fedavg"), Part("plain"))
_TINY = replace(TINY, heads=(Part("segmentation"),), localiser=None, subtypes=())
_REFUSAL = {"message": "The disk is full.", "remedy": "Free some space."}
_TIMES = {"seconds": 1.0, "training_s": 0.5}


def _system() -> System:
    return replace(federated(_TINY, _RULE, "tiny", "Tiny", "none"), sizes={})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_order(tmp_path / "run", SiteOrder("run", _system(), "toy", 1), Terms(1, 5.0, 9.0))
    return tmp_path / "run"


def _answer(keeper: RunKeeper, **changed: Any) -> Answer:
    update = {name: torch.zeros_like(each) for name, each in decode(keeper.encoded_model()).items()}
    values = {"loss": 1.0, "num_cases": 2, "validation": {"pancreas": [0.5]}, **_TIMES}
    return Answer({**values, **changed}, {"update": encode(update)})


def test_what_a_run_is_comes_back_from_its_folder(place: Path) -> None:
    order, terms = read_order(place)
    assert order == SiteOrder("run", _system(), "toy", 1)
    assert (terms.min_sites, terms.grace_s, terms.round_timeout_s) == (1, 5.0, 9.0)
    with pytest.raises(FederationFolderError, match="no run of a federation"):
        read_order(place.parent)


def test_an_order_of_another_version_is_refused() -> None:
    values = SiteOrder("run", _system(), "toy", 1).to_json()
    with pytest.raises(SiteOrderError, match="cannot be understood"):
        order_from_json({**values, "format": "islet-site-order-9"})
    with pytest.raises(SiteOrderError):
        order_from_json({name: value for name, value in values.items() if name != "seed"})


def test_a_round_goes_on_without_a_site_that_refuses(place: Path) -> None:
    keeper = RunKeeper(place)
    keeper.begin_round(1, ["a", "b"])
    assert keeper.end_round(1, ["a", "b"], {"a": _answer(keeper), "b": Answer(_REFUSAL, {})})
    (record,) = read_lines(place / "rounds.jsonl")
    assert record["missing"] == ["b"]
    assert record["weights"] == {"a": 1.0}
    (missing,) = [e for e in read_lines(place / "events.jsonl") if e["event"] == "missing"]
    assert (missing["site"], missing["message"]) == ("b", "The disk is full.")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"loss": float("nan")}, "its loss is not a number"),
        ({"loss": None}, "it says neither loss nor number of cases"),
        ({"num_cases": 0}, "it says neither loss nor number of cases"),
        ({"validation": 3}, "its validation is missing"),
        ({"training_s": None}, "it does not say how long it took"),
    ],
)
def test_an_answer_that_makes_no_sense_has_no_say(
    place: Path, changed: dict[str, Any], said: str
) -> None:
    keeper = RunKeeper(place)
    keeper.begin_round(1, ["a", "b"])
    answers = {"a": _answer(keeper), "b": _answer(keeper, **changed)}
    assert keeper.end_round(1, ["a", "b"], answers)
    (missing,) = [e for e in read_lines(place / "events.jsonl") if e["event"] == "missing"]
    assert said in missing["message"]


def test_an_update_that_is_damaged_has_no_say(place: Path) -> None:
    keeper = RunKeeper(place)
    keeper.begin_round(1, ["a", "b"])
    broken = replace(_answer(keeper), models={"update": b"\x80\x04cos\nsystem\n"})
    assert keeper.end_round(1, ["a", "b"], {"a": _answer(keeper), "b": broken})
    assert read_lines(place / "rounds.jsonl")[0]["missing"] == ["b"]


def test_a_round_that_too_few_answered_changes_nothing(place: Path) -> None:
    keeper = RunKeeper(place)
    keeper.begin_round(1, ["a"])
    assert not keeper.end_round(1, ["a"], {"a": Answer(_REFUSAL, {})})
    assert keeper.next_round == 1
    assert not (place / "rounds.jsonl").exists()


def test_another_server_goes_on_after_the_last_round_and_ends_with_a_system(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RunKeeper(place)
    first.begin_round(1, ["a"])
    first.end_round(1, ["a"], {"a": _answer(first)})
    keeper = RunKeeper(place)
    assert keeper.next_round == 2
    keeper.begin_round(2, ["a"])
    keeper.end_round(2, ["a"], {"a": _answer(keeper)})
    assert keeper.next_round is None
    keeper.hear_judgement({"a": Answer({"scores": {"common": {"pancreas": [0.75]}}}, {})})
    scores = {"federation": {"pancreas": [0.5, 0.75]}, "a": {"pancreas": [0.25]}}
    keeper.finish({"a": Answer({"scores": scores}, {})})
    found = json.loads((place / "result.json").read_bytes())
    assert found["best_round"] == 2
    assert [row["row"] for row in found["rows"]] == ["Tiny", "best weights of a"]
    assert (place / "table.md").read_text(encoding="utf-8").count("\n") == 4

    monkeypatch.setattr("engine.archive.registered.systems_folder", lambda: tmp_path / "systems")
    assert register(place, "ours").name == "ours"
    assert (tmp_path / "systems" / "ours" / "weights.safetensors").is_file()
