"""The baseline is as good as a threshold can be, and no better."""

from __future__ import annotations

import numpy as np
import pytest

from engine.case import Case
from engine.evaluation.threshold import (
    DensityProfile,
    best_threshold_dice,
    density_macro_f1,
    profile,
)
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume

_BINS = 150


def _case(lesion_hu: int, *, num_alike: int = 0) -> Case:
    grid = from_spacing((20, 20, 20), (3.0, 3.0, 3.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[5:15, 5:15, 5:15] = 1
    labels[8:12, 8:12, 8:12] = 2
    voxels = np.where(labels == 0, -100, 100).astype(np.int16)
    voxels[labels == 2] = lesion_hu
    voxels[5 : 5 + num_alike, 5:15, 5:15] = lesion_hu
    named = LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid)
    return Case("ball", Volume(voxels, grid), named, subtype=0)


def test_a_lesion_of_its_own_density_is_found_by_a_threshold() -> None:
    dice, (low, high) = best_threshold_dice([profile(_case(300))])
    assert dice > 0.8
    assert 100 < low < 300 <= high


def test_tissue_of_the_same_density_spoils_it() -> None:
    clean, _ = best_threshold_dice([profile(_case(300))])
    spoiled, _ = best_threshold_dice([profile(_case(300, num_alike=2))])
    assert spoiled < clean - 0.3


def test_a_profile_counts_every_lesion_voxel_once() -> None:
    counted = profile(_case(40))
    assert counted.lesion.sum() == 64
    assert counted.volume_ml == pytest.approx(64 * 27 / 1000)
    assert counted.mean_hu == 40


def _profiles(gap: float) -> list[DensityProfile]:
    rng = np.random.default_rng(0)
    empty = np.zeros(_BINS, np.int64)
    return [
        DensityProfile(empty, empty, float(rng.normal(gap * (n % 3), 1)), 5.0 + n % 2, n % 3)
        for n in range(60)
    ]


def test_subtypes_of_separate_density_are_told_and_equal_ones_are_not() -> None:
    assert density_macro_f1(_profiles(10.0)) > 0.95
    assert density_macro_f1(_profiles(0.0)) < 0.55
