"""Preparation goes to the canonical grid, and its way back is exact."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from engine.data.prepare import prepare, prepare_labels, reorientation_of
from engine.geometry import Geometry, from_spacing
from engine.system import Preparation
from engine.volume import LabelMap, Volume

_PREPARATION = Preparation((2.0, 1.5, 1.5), (-200.0, 300.0), hu_mean=50.0, hu_sd=100.0)


def _oriented(order: tuple[int, ...], signs: tuple[int, ...]) -> Geometry:
    affine = np.eye(4)
    spacing = (2.5, 0.9, 0.7)
    affine[:3, :3] = 0.0
    for axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient_axis, axis] = sign * spacing[axis]
    affine[:3, 3] = (11.0, -7.0, 3.0)
    return Geometry((24, 31, 40), affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_canonical_axes_run_up_back_and_left(order, signs) -> None:
    scan = _oriented(order, signs)
    canonical = reorientation_of(scan).geometry(scan)
    assert canonical.patient_axes() == ((2, 1), (1, 1), (0, 1))


def test_reorientation_keeps_every_voxel_at_its_place() -> None:
    scan = _oriented((0, 2, 1), (-1, 1, -1))
    voxels = np.random.default_rng(0).normal(size=scan.shape)
    canonical = reorientation_of(scan)
    moved, grid = canonical.apply(voxels), canonical.geometry(scan)
    index = np.array([[3, 17, 22]])
    there = np.rint(grid.to_index(scan.to_patient(index))).astype(int)[0]
    assert moved[tuple(there)] == voxels[tuple(index[0])]
    assert np.array_equal(canonical.undo(moved), voxels)


def test_a_smooth_field_returns_to_the_scan_nearly_unchanged() -> None:
    scan = _oriented((2, 0, 1), (1, -1, -1))
    field = gaussian_filter(np.random.default_rng(1).normal(size=scan.shape), 4) * 2000
    prepared = prepare(Volume(field.astype(np.float32), scan), _PREPARATION)
    restored = prepared.to_scan(prepared.image[None])[0] * 100 + 50
    inner = (slice(4, -4),) * 3
    assert restored.shape == scan.shape
    assert np.abs(restored - field)[inner].max() < 0.08 * np.abs(field).max()


def test_a_bright_voxel_keeps_its_patient_position() -> None:
    scan = _oriented((1, 2, 0), (-1, -1, 1))
    voxels = np.zeros(scan.shape, np.float32)
    voxels[12, 15, 20] = 300
    prepared = prepare(Volume(gaussian_filter(voxels, 2) * 50, scan), _PREPARATION)
    weight = prepared.image - prepared.image.min()
    centre = np.array([[np.average(axis, weights=weight) for axis in np.indices(weight.shape)]])
    expected = scan.to_patient(np.array([[12, 15, 20]]))
    assert np.abs(prepared.geometry.to_patient(centre) - expected).max() < 0.2


def test_values_beyond_the_window_are_clipped_before_averaging() -> None:
    scan = from_spacing((8, 8, 8), (1.0, 1.0, 1.0))
    prepared = prepare(Volume(np.full(scan.shape, 3000, np.int16), scan), _PREPARATION)
    assert np.allclose(prepared.image, (300 - 50) / 100)


def test_labels_share_the_grid_of_the_image_and_keep_their_volume() -> None:
    scan = from_spacing((30, 60, 60), (2.5, 0.8, 0.8))
    z, y, x = np.indices(scan.shape)
    ball = ((z - 15) * 2.5) ** 2 + ((y - 30) * 0.8) ** 2 + ((x - 30) * 0.8) ** 2 < 15**2
    labels = LabelMap(ball.astype(np.uint8), {1: "pancreas"}, scan)
    prepared = prepare(Volume(np.zeros(scan.shape, np.int16), scan), _PREPARATION)
    coarse = prepare_labels(labels, _PREPARATION.spacing_mm, 2)
    assert coarse.shape == prepared.image.shape
    volume = coarse.sum() * prepared.geometry.voxel_volume_mm3
    assert volume == pytest.approx(labels.volume_mm3("pancreas"), rel=0.03)
