"""A tiny data set, and the starter made tiny enough to train on it in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.case import Case
from engine.catalogue.starter import LOCALISER, STARTER
from engine.data.dataset_writer import write_dataset
from engine.geometry import from_spacing
from engine.system import Part, System
from engine.training.train import Order
from engine.volume import LabelMap, Volume

_NETWORK = Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)})
_PATCH = (16, 16, 16)


def ball_in_gland(number: int) -> Case:
    """Make a small volume with an ellipsoid gland and a ball of one of three densities."""
    grid = from_spacing((24, 40, 40), (4.0, 4.0, 4.0))
    z, y, x = np.indices(grid.shape)
    labels = np.zeros(grid.shape, np.uint8)
    labels[((z - 12) / 6) ** 2 + ((y - 20) / 6) ** 2 + ((x - 20) / 10) ** 2 < 1] = 1
    labels[(z - 12) ** 2 + (y - 20) ** 2 + (x - 16) ** 2 < 9] = 2
    voxels = np.full(grid.shape, -60, np.int16)
    voxels[labels == 1] = 100
    voxels[labels == 2] = 20 + 100 * (number % 3)
    voxels += np.random.default_rng(number).integers(-5, 6, grid.shape).astype(np.int16)
    return Case(
        case_id=f"ball_{number}",
        volume=Volume(voxels, grid),
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid),
        annotated=frozenset({"pancreas", "lesion"}),
        subtype=number % 3,
    )


def write_balls(folder: Path, num_cases: int = 12) -> Path:
    """Write a data set of them."""
    write_dataset((ball_in_gland(number) for number in range(num_cases)), folder)
    return folder


def tiny(system: System, spacing_mm: float) -> System:
    """Return `system` with a network, patches and a training of next to nothing."""
    training = replace(
        system.training, patch_shape=_PATCH, epochs=2, steps_per_epoch=3, foreground_share=1.0
    )
    return replace(
        system,
        network=_NETWORK,
        training=training,
        preparation=replace(system.preparation, spacing_mm=(spacing_mm,) * 3),
        inference=replace(system.inference, patch_shape=_PATCH),
    )


TINY = replace(tiny(STARTER, 4.0), localiser=tiny(LOCALISER, 8.0), sizes={})


def order(data: Path, folder: Path, system: System = TINY, **changes: Any) -> Order:
    """Order a training on the CPU."""
    return replace(Order(system, data, folder, device="cpu", precision="fp32"), **changes)
