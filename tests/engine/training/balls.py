"""A tiny training: find balls in noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.catalogue.starter import LOCALISER
from engine.data.store import StoredCase
from engine.run import Plan
from engine.system import Part

SHAPE = (20, 24, 28)
SGD = Part("sgd", {"lr": 1e-2})


def ball_case(seed: int) -> StoredCase:
    """Make one case: a bright ball of radius 5 in noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    centre = rng.integers(7, 13, 3)
    ball = ((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) < 25
    image = (ball * 2.0 - 1.0 + rng.normal(0, 0.2, ball.shape)).astype(np.float16)
    positions = (np.argwhere(ball).astype(np.int32),)
    return StoredCase(f"case_{seed}", image, ball.astype(np.uint8), positions, None, (True,))


CASES = tuple(ball_case(seed) for seed in range(3))


def ball_plan(epochs: int, *, optimiser: Part = SGD, batch_size: int = 2) -> Plan:
    """Plan a training of seconds; SGD, for Adam makes steps of rounding errors."""
    training = replace(
        LOCALISER.training,
        patch_shape=(16, 16, 16),
        batch_size=batch_size,
        epochs=epochs,
        steps_per_epoch=4,
        optimiser=optimiser,
    )
    network = replace(
        LOCALISER.network,
        params={"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)},
    )
    system = replace(LOCALISER, training=training, network=network)
    return Plan(system, "balls", (4.0, 4.0, 4.0), (16, 16, 16), batch_size, "fp32", seed=3)
