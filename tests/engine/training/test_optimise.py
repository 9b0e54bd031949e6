"""Learning rates follow their formulae, and averages of weights follow the weights."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.catalogue.starter import LOCALISER
from engine.networks.build import MultitaskNetwork, build
from engine.registry import UnknownNameError
from engine.system import Part
from engine.training.optimise import OPTIMISERS, make_optimiser, rate, set_rate, update_average

_COSINE = Part("cosine", {"warm_up": 0.03})


def _network() -> MultitaskNetwork:
    torch.manual_seed(0)
    params = {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)}
    system = replace(LOCALISER, network=Part("resenc_unet", params))
    network = build(system)
    network.heads["extra"] = nn.Linear(8, 3)
    return network


def test_the_cosine_rises_over_its_warm_up() -> None:
    # 3 % of 1000 steps are 30.
    assert [rate(_COSINE, step, 1000) for step in (0, 14, 29)] == [1 / 30, 0.5, 1.0]
    assert rate(_COSINE, 30, 1000) == 1.0


def test_the_cosine_falls_to_zero() -> None:
    half = 30 + (1000 - 30) // 2
    assert rate(_COSINE, half, 1000) == pytest.approx(0.5)
    for step in (100, 437, 999):
        wanted = 0.5 * (1 + math.cos(math.pi * (step - 30) / 970))
        assert rate(_COSINE, step, 1000) == wanted
    assert rate(_COSINE, 999, 1000) < 1e-5


def test_a_short_warm_up_is_one_step() -> None:
    assert [rate(_COSINE, step, 4) for step in range(2)] == [1.0, 1.0]


def test_the_cosine_may_stop_at_a_floor() -> None:
    part = Part("cosine", {"floor": 0.1})
    assert rate(part, 0, 10) == 1.0
    assert rate(part, 5, 10) == pytest.approx(0.55)
    assert rate(part, 10, 10) == pytest.approx(0.1)


def test_poly_falls_like_a_power_of_what_is_left() -> None:
    assert rate(Part("poly"), 0, 100) == 1.0
    assert rate(Part("poly"), 75, 100) == pytest.approx(0.25**0.9)
    assert rate(Part("poly", {"power": 2}), 75, 100) == pytest.approx(0.25**2)


@pytest.mark.parametrize("part", [_COSINE, Part("poly"), Part("constant")])
def test_no_rate_is_negative_or_above_its_peak(part: Part) -> None:
    assert all(0 <= rate(part, step, 37) <= 1 for step in range(37))


def test_an_unknown_schedule_or_optimiser_is_refused() -> None:
    with pytest.raises(UnknownNameError) as caught:
        rate(Part("cosin"), 0, 1)
    assert caught.value.message == "There is no schedule called 'cosin'."
    with pytest.raises(UnknownNameError) as caught:
        make_optimiser(_network(), Part("adamm", {"lr": 1.0}))
    assert caught.value.message == "There is no optimiser called 'adamm'."


@pytest.mark.parametrize("name", OPTIMISERS.names())
def test_every_optimiser_steps_downhill_and_takes_its_settings(name: str) -> None:
    network = _network()
    part = Part(name, {"lr": 1e-3, "weight_decay": 3e-5})
    optimiser = make_optimiser(network, part)
    image = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        return network.trunk(image)[0].square().mean()

    before = loss()
    before.backward()
    optimiser.step()
    assert float(loss().detach()) < float(before.detach())
    assert all(group["weight_decay"] == 3e-5 for group in optimiser.param_groups)


def test_sgd_is_that_of_nnu_net_unless_told_otherwise() -> None:
    group = make_optimiser(_network(), Part("sgd", {"lr": 0.01})).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.99, True)
    plain = make_optimiser(_network(), Part("sgd", {"lr": 0.01, "momentum": 0.0})).param_groups[0]
    assert (plain["momentum"], plain["nesterov"]) == (0.0, False)


def test_heads_may_have_a_peak_of_their_own() -> None:
    network = _network()
    optimiser = make_optimiser(network, Part("adamw", {"lr": 1e-2, "head_lr": 1e-3}))
    rates: dict[int, float] = {}
    set_rate(optimiser, 0.5)
    for group in optimiser.param_groups:
        rates |= {id(parameter): group["lr"] for parameter in group["params"]}
    assert {rates[id(one)] for one in network.heads.parameters()} == {0.5e-3}
    assert {rates[id(one)] for one in network.trunk.parameters()} == {0.5e-2}
    assert len(rates) == len(list(network.parameters()))


def test_peaks_survive_a_checkpoint() -> None:
    part = Part("adamw", {"lr": 1e-2, "head_lr": 1e-3})
    saved = make_optimiser(_network(), part)
    set_rate(saved, 0.1)
    resumed = make_optimiser(_network(), part)
    resumed.load_state_dict(saved.state_dict())
    set_rate(resumed, 1.0)
    assert [group["lr"] for group in resumed.param_groups] == [1e-2, 1e-3]


def test_frozen_parameters_are_left_alone() -> None:
    network = _network()
    network.heads.requires_grad_(requires_grad=False)
    optimiser = make_optimiser(network, Part("adam", {"lr": 1e-3}))
    trained = {id(one) for group in optimiser.param_groups for one in group["params"]}
    assert trained == {id(one) for one in network.trunk.parameters()}


def test_the_average_follows_quickly_at_first_and_slowly_later() -> None:
    network, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    for step, kept in ((1, 2 / 11), (100, 101 / 110), (10**6, 0.998)):
        nn.init.zeros_(average.weight)
        update_average(average, network, step, 0.998)
        assert average.weight.item() == pytest.approx(1 - kept, rel=1e-4)


def test_the_average_copies_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average = copy.deepcopy(network)
    network(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    update_average(average, network, 1, 0.998)
    assert torch.equal(average.running_mean, network.running_mean)
    assert torch.equal(average.num_batches_tracked, network.num_batches_tracked)
