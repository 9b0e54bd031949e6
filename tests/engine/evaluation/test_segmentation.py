"""Overlaps and surface distances, and what they are where there is nothing."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from scipy import ndimage

from engine.evaluation.segmentation import (
    agreement,
    dice,
    hausdorff_95_mm,
    surface_dice,
    surface_distances_mm,
)

MM = (1.0, 1.0, 1.0)
ANISOTROPIC = (2.5, 0.7, 0.9)


def mask(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def blob(seed: int, threshold: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(14, 18, 20))
    return np.asarray(ndimage.gaussian_filter(noise, 2.0, mode="constant")) > threshold * 0.05


def slab(first: int, last: int) -> np.ndarray:
    """Return a slab of whole slices: every distance to another one is known."""
    filled = np.zeros((40, 12, 12), bool)
    filled[first:last] = True
    return filled


def test_dice_is_twice_the_overlap_over_the_sum() -> None:
    assert dice(mask(1, 1, 0, 0), mask(0, 1, 1, 1)) == pytest.approx(2 / 5)


def test_dice_is_symmetric() -> None:
    first, second = mask(1, 1, 0, 1), mask(0, 1, 0, 0)
    assert dice(first, second) == dice(second, first)


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [
        pytest.param(mask(0, 0), mask(0, 0), 1.0, id="nothing wanted, nothing found"),
        pytest.param(mask(0, 1), mask(0, 0), 0.0, id="found what is not there"),
        pytest.param(mask(0, 0), mask(0, 1), 0.0, id="missed what is there"),
        pytest.param(mask(0, 1), mask(0, 1), 1.0, id="the same"),
    ],
)
def test_empty_masks_follow_the_convention(
    found: np.ndarray, wanted: np.ndarray, value: float
) -> None:
    assert dice(found, wanted) == value


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        dice(mask(0, 1), mask(0, 1, 1))


# MONAI warns of an argument that MONAI itself passes.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing_mm", [MM, ANISOTROPIC])
@pytest.mark.parametrize("seed", range(4))
def test_surfaces_agree_as_monai_says(seed: int, spacing_mm: tuple[float, float, float]) -> None:
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice

    found, wanted = blob(seed, threshold=0.2), blob(seed + 10)
    ours = agreement(found, wanted, spacing_mm, tolerance_mm=1.5)
    pair = [torch.from_numpy(m)[None, None].float() for m in (found, wanted)]
    options = {"include_background": True, "spacing": spacing_mm}
    # MONAI keeps its distances as float32.
    assert ours.nsd == pytest.approx(compute_surface_dice(*pair, [1.5], **options).item(), abs=1e-6)
    theirs = compute_hausdorff_distance(*pair, percentile=95, **options).item()
    assert ours.hd95_mm == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("spacing_mm", [MM, ANISOTROPIC])
def test_distances_are_those_of_a_distance_transform(
    spacing_mm: tuple[float, float, float],
) -> None:
    found, wanted = blob(1), blob(2)
    outward, inward = surface_distances_mm(found, wanted, spacing_mm)
    edges = [m & ~ndimage.binary_erosion(m) for m in (found, wanted)]
    for distances, own, other in ((outward, *edges), (inward, *edges[::-1])):
        transform = np.asarray(ndimage.distance_transform_edt(~other, sampling=spacing_mm))
        np.testing.assert_allclose(distances, transform[own], atol=1e-9)


def test_a_shifted_slab_lies_off_by_its_shift_in_mm() -> None:
    found, wanted = slab(10, 20), slab(12, 22)
    # Two slices of 2.5 mm; the middles of the outer faces lie off by no less.
    assert agreement(found, wanted, ANISOTROPIC).hd95_mm == pytest.approx(5.0)
    assert agreement(found, wanted, ANISOTROPIC, tolerance_mm=5.0).nsd == 1.0
    assert agreement(found, wanted, ANISOTROPIC, tolerance_mm=4.9).nsd < 1.0


def test_agreement_does_not_depend_on_who_is_asked_first() -> None:
    assert agreement(blob(3), blob(4), ANISOTROPIC) == agreement(blob(4), blob(3), ANISOTROPIC)


def test_empty_structures_agree_or_not_but_lie_at_no_distance() -> None:
    empty, filled = slab(0, 0), slab(3, 9)
    neither = agreement(empty, empty, MM)
    assert (neither.dice, neither.nsd) == (1.0, 1.0)
    assert isnan(neither.hd95_mm)
    for one in (agreement(filled, empty, MM), agreement(empty, filled, MM)):
        assert (one.dice, one.nsd) == (0.0, 0.0)
        assert isnan(one.hd95_mm)


def test_the_95th_percentile_leaves_out_the_worst_twentieth() -> None:
    distances = np.append(np.ones(99), 50.0)
    assert hausdorff_95_mm(distances, np.ones(3)) == 1.0
    assert surface_dice(distances, np.ones(3), 2.0) == pytest.approx(102 / 103)
