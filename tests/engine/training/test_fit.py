"""A training goes on where it was left, and learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.catalogue.starter import LOCALISER
from engine.data.store import StoredCase
from engine.errors import CancelledError
from engine.networks.build import MultitaskNetwork
from engine.run import EpochRecord, Plan
from engine.system import Part
from engine.training.fit import DivergedError, fit_segmentation


def _case(seed: int) -> StoredCase:
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((20, 24, 28))
    centre = rng.integers(7, 13, 3)
    ball = ((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) < 25
    image = (ball * 2.0 - 1.0 + rng.normal(0, 0.2, ball.shape)).astype(np.float16)
    positions = (np.argwhere(ball).astype(np.int32),)
    return StoredCase(f"case_{seed}", image, ball.astype(np.uint8), positions, None)


_CASES = tuple(_case(seed) for seed in range(3))


def _plan(epochs: int, lr: float = 5e-3) -> Plan:
    training = replace(
        LOCALISER.training,
        patch_shape=(16, 16, 16),
        epochs=epochs,
        steps_per_epoch=4,
        optimiser=Part("adamw", {"lr": lr}),
    )
    network = replace(
        LOCALISER.network,
        params={"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)},
    )
    system = replace(LOCALISER, training=training, network=network)
    return Plan(system, "balls", (4.0, 4.0, 4.0), (16, 16, 16), 2, "fp32", seed=3)


def _fit(plan: Plan, folder: Path, stop_after: int | None = None) -> MultitaskNetwork:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == stop_after:
            raise CancelledError

    return fit_segmentation(plan, lambda: _CASES, folder, on_epoch)


def test_a_resumed_training_ends_at_the_same_weights(tmp_path: Path) -> None:
    whole = _fit(_plan(4), tmp_path / "whole")
    with pytest.raises(CancelledError):
        _fit(_plan(4), tmp_path / "broken", stop_after=2)
    resumed = _fit(_plan(4), tmp_path / "broken")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_loss_falls(tmp_path: Path) -> None:
    losses: list[float] = []
    fit_segmentation(
        _plan(20, lr=1e-2),
        lambda: _CASES,
        tmp_path,
        lambda record: losses.append(record.losses["segmentation"]),
    )
    assert np.mean(losses[-2:]) < 0.6 * losses[0]


def test_a_diverged_training_says_so(tmp_path: Path) -> None:
    broken = replace(_CASES[0], image=np.full((20, 24, 28), np.nan, np.float16))
    with pytest.raises(DivergedError) as caught:
        fit_segmentation(_plan(1), lambda: (broken,), tmp_path, lambda _: None)
    assert caught.value.message == "The training diverged: the loss of step 0 is not a number."
    assert "learning rate" in caught.value.remedy
