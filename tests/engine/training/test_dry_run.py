"""What a training needs is predicted for every kind of network, without its memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.catalogue import SYSTEMS
from engine.networks.build import build
from engine.training.dry_run import dry_run
from tests.engine.training.balls import ball_plan


# One of each trunk: some ask for values of tensors while they are built.
@pytest.mark.parametrize(
    "name", ["starter", "unet", "c2fnas_vae", "mtmed3d", "swin_detection", "retinanet3d"]
)
def test_the_parameters_are_those_of_the_network(name: str) -> None:
    system = SYSTEMS.get(name).at("toy")
    plan = replace(ball_plan(1), system=system, patch_shape=system.training.patch_shape)
    found = dry_run(plan)
    assert found.num_parameters == sum(one.numel() for one in build(system).parameters())
    assert found.needed_bytes > 4 * found.num_parameters
