"""Updates are put together as the papers say, also when a site is missing or its loss is odd."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.federated.aggregate import (
    AGGREGATORS,
    Dwa,
    FedAvg,
    Report,
    aggregated,
    difference,
    shares,
)
from engine.registry import UnknownNameError

_SITES = ("tcia", "msd", "synapse")


def _reports(losses: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[Report]:
    sizes = (48, 165, 18)
    return [Report(*each) for each in zip(_SITES, sizes, losses, strict=True)]


def _third(rule: Dwa, ratios: tuple[float, ...]) -> list[float]:
    """Return the weights of the third round, the losses having changed by `ratios`."""
    rule.weights(1, _reports((0.5, 2.0, 1.0)))
    rule.weights(2, _reports((0.5 * ratios[0], 2.0 * ratios[1], 1.0 * ratios[2])))
    return list(rule.weights(3, _reports()).values())


def test_sites_count_by_their_cases() -> None:
    weights = FedAvg().weights(1, _reports())
    assert list(weights) == list(_SITES)
    assert list(weights.values()) == pytest.approx([0.2078, 0.7143, 0.0779], abs=5e-5)


@pytest.mark.parametrize(
    ("temperature", "scale", "expected"),
    [
        (2.0, 1.0, (0.311225, 0.327182, 0.361592)),
        (2.0, 2.0, (0.622451, 0.654365, 0.723185)),
        (1.0, 1.0, (0.289433, 0.319873, 0.390694)),
        (1e9, 1.0, (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_sites_that_learn_slowly_count_more(
    temperature: float, scale: float, expected: tuple[float, ...]
) -> None:
    weights = _third(Dwa(temperature=temperature, scale=scale), (0.8, 0.9, 1.1))
    assert weights == pytest.approx(expected, abs=1e-6)


def test_the_first_two_rounds_are_uniform() -> None:
    rule = Dwa(temperature=2.0, scale=2.0)
    for number in (1, 2):
        weights = rule.weights(number, _reports((0.1, 5.0, 1.0)))
        assert list(weights.values()) == pytest.approx([2 / 3] * 3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(
            st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1e-7) | st.none(),
            min_size=3,
            max_size=3,
        ).filter(lambda row: any(loss is not None for loss in row)),
        min_size=1,
        max_size=6,
    ),
    st.floats(0.02, 50),
    st.floats(0.5, 3),
)
def test_weights_sum_to_the_scale_whatever_happens(
    rounds: list[list[float | None]], temperature: float, scale: float
) -> None:
    rule = Dwa(temperature=temperature, scale=scale)
    for number, row in enumerate(rounds, start=1):
        told = zip(_SITES, row, strict=True)
        reports = [Report(site, 5, loss) for site, loss in told if loss is not None]
        weights = rule.weights(number, reports)
        assert set(weights) == {report.site for report in reports}
        assert sum(weights.values()) == pytest.approx(scale)
        assert all(weight >= 0 for weight in weights.values())


def test_a_leap_of_the_loss_is_cut_at_ten_and_at_a_tenth() -> None:
    expected = _third(Dwa(temperature=2.0), (0.1, 10.0, 1.0))
    assert _third(Dwa(temperature=2.0), (1e-4, 1e4, 1.0)) == pytest.approx(expected)


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0, 1e-9, -1.0])
def test_an_unusable_loss_leaves_the_sites_last_ratio(odd: float) -> None:
    rule = Dwa(temperature=1.0)
    for number, loss in enumerate([1.0, 0.8, odd], start=1):
        rule.weights(number, _reports((loss, 1.0, 1.0)))
    # Known at the third round; at the fourth its loss says nothing, and the others' ratio is 1.
    weights = rule.weights(4, _reports())
    assert math.log(weights["tcia"] / weights["msd"]) == pytest.approx(0.8 - 1.0)


def test_a_missing_site_returns_with_its_last_ratio() -> None:
    rule = Dwa(temperature=1.0)
    _third(rule, (0.8, 0.9, 1.1))
    here = [report for report in _reports() if report.site != "tcia"]
    assert set(rule.weights(4, here)) == {"msd", "synapse"}
    weights = rule.weights(5, _reports())
    assert math.log(weights["tcia"] / weights["msd"]) == pytest.approx(0.8 - 1.0, abs=1e-9)


def test_a_rule_goes_on_where_it_was_left() -> None:
    whole, first = Dwa(temperature=1.5), Dwa(temperature=1.5)
    for number, losses in enumerate([(1.0, 2.0, math.nan), (0.7, 1.9, 0.2)], start=1):
        assert whole.weights(number, _reports(losses)) == first.weights(number, _reports(losses))
    second = Dwa(temperature=1.5)
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    for number, losses in enumerate([(0.5, 1.8, 0.1), (0.4, 1.0, 0.1)], start=3):
        assert whole.weights(number, _reports(losses)) == second.weights(number, _reports(losses))


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"scale": -1.0}])
def test_settings_must_be_above_zero(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Dwa(**settings)


def test_an_unknown_rule_is_answered_by_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="no aggregation rule called 'fedavgg'"):
        AGGREGATORS.get("fedavgg")


def _model(value: float) -> dict[str, torch.Tensor]:
    return {
        "weight": torch.full((2, 2), value),
        "running_var": torch.full((2,), value),
        "num_batches": torch.tensor(int(value)),
    }


def test_updates_of_all_weights_average_the_models() -> None:
    begun, trained = _model(1.0), {"a": _model(2.0), "b": _model(5.0)}
    updates = {site: difference(model, begun) for site, model in trained.items()}
    eta = {"a": 0.75, "b": 0.25}
    new = aggregated(begun, updates, eta, eta, {"running_var", "num_batches"})
    assert torch.allclose(new["weight"], torch.full((2, 2), 0.75 * 2 + 0.25 * 5))
    assert torch.allclose(new["running_var"], torch.full((2,), 2.75))
    assert int(new["num_batches"]) == 2
    assert torch.equal(begun["weight"], torch.ones(2, 2))


def test_the_servers_step_length_moves_parameters_and_leaves_buffers_at_their_mean() -> None:
    begun = _model(1.0)
    # A variance that shrinks at both sites: twice the step would make it negative.
    updates = {site: difference(_model(0.25), begun) for site in ("a", "b")}
    eta = {"a": 0.5, "b": 0.5}
    new = aggregated(begun, updates, {"a": 1.0, "b": 1.0}, eta, {"running_var", "num_batches"})
    assert torch.allclose(new["weight"], torch.full((2, 2), 1.0 - 2 * 0.75))
    assert torch.allclose(new["running_var"], torch.full((2,), 0.25))


def test_shares_sum_to_one() -> None:
    assert sum(shares(_reports()).values()) == pytest.approx(1.0)
