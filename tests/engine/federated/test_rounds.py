"""The server's side of a round, without a network."""

from __future__ import annotations

import pytest
import torch

from engine.federated.aggregate import Report
from engine.federated.rounds import Contribution, Rounds, overall
from engine.federated.sharing import DamagedUpdateError, encode
from engine.system import Federation, Part


def _federation(rule: str = "fedavg") -> Federation:
    params = {"scale": 2.0} if rule == "dwa" else {}
    return Federation(("a", "b"), 3, 1, Part(rule, params), Part("plain"))


def _rounds(rule: str = "fedavg") -> Rounds:
    return Rounds(_federation(rule), {"w": torch.zeros(4)}, frozenset())


def _given(site: str, value: float, num_cases: int = 1, loss: float = 1.0) -> Contribution:
    return Contribution(Report(site, num_cases, loss), encode({"w": torch.full((4,), value)}))


def test_a_round_moves_the_model_by_the_mean_over_cases() -> None:
    rounds = _rounds()
    record = rounds.take([_given("a", 1.0, num_cases=3), _given("b", -1.0)])
    assert torch.equal(rounds.model["w"], torch.full((4,), 0.5))
    assert record["weights"] == {"a": 0.75, "b": 0.25}
    assert record["bytes"]["a"]["dense"] == 16


def test_a_missing_site_leaves_its_part_to_the_others() -> None:
    rounds = _rounds("dwa")
    rounds.take([_given("a", 1.0, loss=2.0), _given("b", 1.0, loss=2.0)])
    alone = rounds.take([_given("a", 1.0, loss=1.0)])
    assert alone["weights"] == {"a": pytest.approx(2.0)}
    both = rounds.take([_given("a", 1.0, loss=1.0), _given("b", 1.0, loss=1.0)])
    assert sum(both["weights"].values()) == pytest.approx(2.0)


def test_the_best_aggregate_is_kept_and_the_last_may_be_it() -> None:
    rounds = _rounds()
    for value, dice in ((1.0, 0.5), (1.0, 0.2), (1.0, 0.9)):
        rounds.take([_given("a", value)])
        rounds.judge({"a": {"pancreas": [dice]}, "b": {}})
    assert rounds.best_round == 3
    assert torch.equal(rounds.best["w"], torch.full((4,), 3.0))
    assert [record["best_round"] for record in rounds.records] == [1, 1, 3]


def test_an_update_of_another_network_changes_nothing() -> None:
    rounds = _rounds("dwa")
    rounds.take([_given("a", 1.0, loss=2.0)])
    before = rounds.content()
    odd = Contribution(Report("a", 1, 0.5), encode({"v": torch.zeros(2)}))
    with pytest.raises(DamagedUpdateError, match="it is of another network"):
        rounds.take([odd])
    after = rounds.content()
    assert len(after["records"]) == 1
    assert after["aggregator"] == before["aggregator"]
    assert torch.equal(after["model"]["w"], torch.full((4,), 2.0))


def test_what_survives_goes_on_as_if_nothing_had_happened() -> None:
    whole, first = _rounds("dwa"), _rounds("dwa")
    for rounds in (whole, first):
        rounds.take([_given("a", 1.0, loss=2.0), _given("b", 2.0, loss=1.0)])
        rounds.judge({"a": {"pancreas": [0.5]}})
        rounds.take([_given("a", 1.0, loss=1.0), _given("b", 2.0, loss=1.0)])
    again = _rounds("dwa")
    again.restore(first.content())
    last = [_given("a", 0.5, loss=0.4), _given("b", 0.25, loss=0.9)]
    assert again.take(last)["weights"] == whole.take(last)["weights"]
    assert torch.equal(again.model["w"], whole.model["w"])


def test_validation_counts_every_site_alike() -> None:
    scores = {"a": {"pancreas": [1.0, 0.5], "lesion": [0.25]}, "b": {"pancreas": [0.0]}, "c": {}}
    assert overall(scores) == pytest.approx((0.5 + 0.0) / 2)
