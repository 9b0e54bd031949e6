"""A training goes on where it was left, learns, and is the same however it is divided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data.store import StoredCase
from engine.networks.build import MultitaskNetwork
from engine.run import EpochRecord, Plan
from engine.system import Part
from engine.training import fit as fit_module
from engine.training.alarms import DivergedError
from engine.training.checkpoint import CheckpointError
from engine.training.fit import Fitting, StoppedError, fit
from engine.training.follow import Nobody, StepRecord, Wish
from engine.training.sample import Sampler
from tests.engine.training.balls import CASES, SHAPE, ball_plan


class _Follower(Nobody):
    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.epochs: list[EpochRecord] = []
        self.steps: list[StepRecord] = []
        self._stop_at = stop_at

    def on_step(self, record: StepRecord) -> None:
        self.steps.append(record)

    def on_epoch(self, _part: str, _epochs: int, record: EpochRecord) -> None:
        self.epochs.append(record)

    def wanted(self) -> Wish:
        here = (self.steps[-1].epoch, self.steps[-1].step) if self.steps else None
        return "stop" if here is not None and here == self._stop_at else "run"


def _plan(epochs: int, lr: float = 5e-3, **changes: object) -> Plan:
    plan = ball_plan(epochs, optimiser=Part("adamw", {"lr": lr}))
    return replace(plan, **changes)  # type: ignore[arg-type]


def _fit(
    plan: Plan,
    folder: Path,
    follower: Nobody | None = None,
    validate: Callable[[MultitaskNetwork, int], dict[str, float]] | None = None,
    cases: tuple[StoredCase, ...] = CASES,
) -> MultitaskNetwork:
    fitting = Fitting(
        plan,
        Sampler(plan, cases),
        folder / "state.pt",
        follower=follower or Nobody(),
        validate=validate,
    )
    return fit(fitting)


def _assert_equal(first: MultitaskNetwork, second: MultitaskNetwork, atol: float = 0.0) -> None:
    for name, tensor in first.state_dict().items():
        assert torch.allclose(tensor, second.state_dict()[name], rtol=0, atol=atol), name


@pytest.mark.parametrize("stop_at", [(2, 4), (3, 2)])
def test_a_resumed_training_ends_at_the_same_weights(
    tmp_path: Path, stop_at: tuple[int, int]
) -> None:
    whole = _fit(_plan(4), tmp_path / "whole")
    with pytest.raises(StoppedError):
        _fit(_plan(4), tmp_path / "broken", _Follower(stop_at))
    follower = _Follower()
    resumed = _fit(_plan(4), tmp_path / "broken", follower)
    _assert_equal(whole, resumed)
    assert len(follower.steps) == 16 - (4 * (stop_at[0] - 1) + stop_at[1])


def test_the_losses_of_a_resumed_epoch_are_those_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = _Follower()
    _fit(_plan(2), tmp_path / "whole", whole)
    with pytest.raises(StoppedError):
        _fit(_plan(2), tmp_path / "broken", _Follower((2, 3)))
    resumed = _Follower()
    _fit(_plan(2), tmp_path / "broken", resumed)
    assert resumed.epochs[-1].losses == pytest.approx(whole.epochs[-1].losses)


def test_the_loss_falls(tmp_path: Path) -> None:
    follower = _Follower()
    _fit(_plan(20, lr=1e-2), tmp_path, follower)
    losses = [record.losses["segmentation"] for record in follower.epochs]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]


def test_a_batch_in_parts_gives_the_gradients_of_the_whole(tmp_path: Path) -> None:
    # Adam would make a step of the rounding error of a gradient that is zero.
    plan = ball_plan(2)
    whole = _fit(plan, tmp_path / "whole")
    parts = _fit(replace(plan, accumulation=2), tmp_path / "parts")
    _assert_equal(whole, parts, atol=1e-5)


@pytest.mark.parametrize(("num_samples", "num_parts"), [(7, 3), (8, 3), (2, 2), (5, 9)])
def test_no_part_of_a_batch_is_smaller_than_another_by_more_than_one(
    num_samples: int, num_parts: int
) -> None:
    numbers: Any = range(num_samples)
    parts = [list(part) for part in fit_module._parts(numbers, num_parts)]
    assert [number for part in parts for number in part] == list(numbers)
    assert len(parts) == min(num_samples, num_parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_where_patches_are_changed_does_not_matter(tmp_path: Path) -> None:
    loading = _fit(_plan(1, augment_on="cpu"), tmp_path / "loading")
    device = _fit(_plan(1, augment_on="device"), tmp_path / "device")
    _assert_equal(loading, device, atol=1e-4)


def test_every_step_and_epoch_is_told(tmp_path: Path) -> None:
    follower = _Follower()
    _fit(_plan(2), tmp_path, follower, validate=lambda _network, epoch: {"dice pancreas": epoch})
    assert [(step.epoch, step.step) for step in follower.steps] == [
        (epoch, step) for epoch in (1, 2) for step in (1, 2, 3, 4)
    ]
    assert [record.scores for record in follower.epochs] == [
        {"dice pancreas": 1},
        {"dice pancreas": 2},
    ]
    assert follower.epochs[-1].learning_rate < follower.epochs[0].learning_rate
    assert follower.epochs[-1].samples_per_s > 0
    assert follower.epochs[-1].memory_bytes > 1e6
    assert follower.steps[-1].remaining_s == 0


def test_a_diverged_training_says_so(tmp_path: Path) -> None:
    broken = replace(CASES[0], image=np.full(SHAPE, np.nan, np.float16))
    with pytest.raises(DivergedError) as caught:
        _fit(_plan(1), tmp_path, cases=(broken,))
    assert caught.value.message == "The training diverged: the loss of step 0 is not a number."
    assert "learning rate" in caught.value.remedy


def test_a_damaged_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError) as caught:
        _fit(_plan(1), tmp_path)
    assert caught.value.message == "The checkpoint of 'starter_localiser' is damaged."
    assert caught.value.remedy
    assert (tmp_path / "state.pt").read_bytes() == b"no checkpoint"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _fit(_plan(1), tmp_path)
    other = _plan(2)
    network = Part("resenc_unet", {"features": (4, 12), "num_blocks": (1, 1), "strides": (1, 2)})
    other = replace(other, system=replace(other.system, network=network))
    with pytest.raises(CheckpointError) as caught:
        _fit(other, tmp_path)
    assert "belongs to another plan" in caught.value.message
