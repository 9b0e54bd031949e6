"""Data sets of a few small cases, whole or broken in one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.case import Case
from engine.data.dataset_writer import write_dataset
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume

GRID = from_spacing((20, 24, 28), (2.5, 1.2, 1.0), (-10.0, 5.0, 30.0))
NAMES = {1: "pancreas", 2: "lesion"}


def tiny_case(case_id: str, subtype: int | None, seed: int) -> Case:
    """Return noise with a brighter block, the pancreas, and a darker one in it, the lesion."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(GRID.shape, np.uint8)
    low = rng.integers(2, 6, 3)
    labels[low[0] : low[0] + 10, low[1] : low[1] + 12, low[2] : low[2] + 14] = 1
    if subtype is not None:
        labels[low[0] + 3 : low[0] + 7, low[1] + 3 : low[1] + 8, low[2] + 3 : low[2] + 9] = 2
    voxels = rng.normal(-50, 20, GRID.shape) + 100 * (labels == 1) + 60 * (labels == 2)
    return Case(
        case_id=case_id,
        volume=Volume(voxels.astype(np.int16), GRID),
        labels=LabelMap(labels, NAMES, GRID),
        annotated=frozenset(NAMES.values()),
        subtype=subtype,
    )


def write_tiny(folder: Path, num_cases: int = 4) -> Path:
    """Write a data set; subtypes 0, 1, 2 and healthy take turns, and case ids are a, b, c, …"""
    turns = (0, 1, 2, None)
    write_dataset(
        (tiny_case(chr(97 + number), turns[number % 4], number) for number in range(num_cases)),
        folder,
    )
    return folder
