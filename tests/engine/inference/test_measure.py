"""Balls and ellipsoids of known size are measured as what they are."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.finding import Finding
from engine.geometry import Geometry
from engine.inference.measure import find_lesions
from engine.inference.restore import Probabilities
from engine.volume import LabelMap, Volume
from tests.engine.inference.toys import reordered, toy_geometry

Point = tuple[float, float, float]


def ellipsoid(geometry: Geometry, centre_mm: Point, half_axes: NDArray[np.float64]) -> np.ndarray:
    """Return the voxels inside; the rows of `half_axes` are the half axes in mm, LPS."""
    indices = np.indices(geometry.shape).reshape(3, -1).T
    positions = geometry.to_patient(indices) - np.asarray(centre_mm)
    scaled = positions @ np.linalg.inv(half_axes)
    return (np.linalg.norm(scaled, axis=1) <= 1).reshape(geometry.shape)


def measured(
    masks: list[np.ndarray],
    geometry: Geometry,
    *,
    chances: tuple[float, ...] = (0.9, 0.8, 0.7),
    min_lesion_mm3: float = 0.0,
) -> tuple[Finding, ...]:
    labels = np.zeros(geometry.shape, np.uint8)
    values = np.zeros((2, *geometry.shape), np.float16)
    hu = np.full(geometry.shape, 100, np.int16)
    for number, (mask, chance) in enumerate(zip(masks, chances, strict=False)):
        labels[mask] = 2
        values[1][mask] = chance
        hu[mask] = np.where(np.indices(geometry.shape).sum(axis=0)[mask] % 2, 30, 50) + number
    return find_lesions(
        LabelMap(labels, {1: "pancreas", 2: "lesion"}, geometry),
        Probabilities(values, (0, 0, 0), ("pancreas", "lesion")),
        Volume(hu, geometry),
        min_lesion_mm3=min_lesion_mm3,
    )


@pytest.mark.parametrize("radius_mm", [4.0, 9.0, 15.0])
@pytest.mark.parametrize("spacing_mm", [(1.0, 0.8, 0.8), (2.5, 0.7, 0.9)])
def test_a_ball_has_its_volume_place_box_and_diameters(
    radius_mm: float, spacing_mm: tuple[float, float, float]
) -> None:
    shape = tuple(int(44 / s) for s in spacing_mm)
    geometry = toy_geometry((shape[0], shape[1], shape[2]), spacing_mm)
    centre: Point = (2.3, -1.7, 1.1)
    (finding,) = measured([ellipsoid(geometry, centre, np.eye(3) * radius_mm)], geometry)
    in_plane = max(spacing_mm[1:])
    assert finding.centre_mm == pytest.approx(centre, abs=0.3)
    assert finding.volume_mm3 == pytest.approx(4 / 3 * pi * radius_mm**3, rel=0.06)
    assert finding.longest_diameter_mm == pytest.approx(2 * radius_mm, abs=in_plane)
    assert finding.short_axis_mm == pytest.approx(2 * radius_mm, abs=1.5 * in_plane)
    assert finding.short_axis_mm <= finding.longest_diameter_mm
    slack = max(spacing_mm)
    np.testing.assert_allclose(finding.box_mm.lower_mm, np.subtract(centre, radius_mm), atol=slack)
    np.testing.assert_allclose(finding.box_mm.upper_mm, np.add(centre, radius_mm), atol=slack)


def test_an_oblique_ellipsoid_has_its_axes_within_the_axial_plane() -> None:
    geometry = toy_geometry((40, 70, 70), (1.0, 0.7, 0.7))
    along = np.array([np.cos(0.6), np.sin(0.6), 0.0])
    across = np.array([-np.sin(0.6), np.cos(0.6), 0.0])
    half_axes = np.stack([18 * along, 7 * across, np.array([0, 0, 15.0])])
    (finding,) = measured([ellipsoid(geometry, (0.0, 0.0, 0.0), half_axes)], geometry)
    assert finding.longest_diameter_mm == pytest.approx(36, abs=0.8)
    assert finding.short_axis_mm == pytest.approx(14, abs=0.8)


def test_measures_do_not_depend_on_how_the_scan_is_stored() -> None:
    geometry = toy_geometry((30, 50, 46), (1.5, 0.8, 0.8))
    half_axes = np.diag([15.0, 8.0, 12.0])
    mask = ellipsoid(geometry, (1.0, 2.0, -3.0), half_axes)
    (plain,) = measured([mask], geometry)
    coronal = reordered(Volume(mask.astype(np.int16), geometry), (1, 2, 0), (True, False, True))
    (turned,) = measured([coronal.voxels_hu > 0], coronal.geometry)
    assert turned.longest_diameter_mm == pytest.approx(plain.longest_diameter_mm)
    assert turned.short_axis_mm == pytest.approx(plain.short_axis_mm)
    assert turned.volume_mm3 == pytest.approx(plain.volume_mm3)
    np.testing.assert_allclose(turned.centre_mm, plain.centre_mm)
    np.testing.assert_allclose(turned.box_mm.lower_mm, plain.box_mm.lower_mm, atol=1e-9)


def test_a_single_voxel_is_as_wide_as_itself() -> None:
    geometry = toy_geometry((5, 6, 7), (3.0, 0.8, 0.6))
    mask = np.zeros(geometry.shape, bool)
    mask[2, 3, 4] = True
    (finding,) = measured([mask], geometry)
    assert finding.longest_diameter_mm == pytest.approx(0.8)
    assert finding.short_axis_mm == pytest.approx(0.6)
    size = np.subtract(finding.box_mm.upper_mm, finding.box_mm.lower_mm)
    np.testing.assert_allclose(size, (0.6, 0.8, 3.0))


def test_lesions_come_most_probable_first_with_their_own_densities() -> None:
    geometry = toy_geometry((20, 60, 60), (2.0, 1.0, 1.0))
    left = ellipsoid(geometry, (15.0, 0.0, 0.0), np.eye(3) * 6)
    right = ellipsoid(geometry, (-15.0, 0.0, 0.0), np.eye(3) * 8)
    findings = measured([right, left], geometry, chances=(0.6, 0.95))
    assert [finding.finding_id for finding in findings] == ["lesion-1", "lesion-2"]
    assert [finding.centre_mm[0] > 0 for finding in findings] == [True, False]
    assert [finding.probability for finding in findings] == pytest.approx([0.95, 0.6], abs=1e-3)
    assert findings[0].mean_hu == pytest.approx(41, abs=0.5)
    assert findings[1].mean_hu == pytest.approx(40, abs=0.5)
    assert findings[0].sd_hu == pytest.approx(10, abs=0.2)


def test_lesions_touching_by_a_corner_are_one_and_small_ones_are_dropped() -> None:
    geometry = toy_geometry((6, 12, 12), (1.0, 1.0, 1.0))
    mask = np.zeros(geometry.shape, bool)
    mask[1:3, 1:4, 1:4] = True
    mask[3:5, 4:7, 4:7] = True
    speck = np.zeros(geometry.shape, bool)
    speck[0, 11, 11] = True
    assert [f.volume_mm3 for f in measured([mask | speck], geometry)] == pytest.approx([36, 1])
    assert len(measured([mask | speck], geometry, min_lesion_mm3=2.0)) == 1


def test_the_probability_is_that_of_the_surest_tenth() -> None:
    geometry = toy_geometry((1, 10, 10), (1.0, 1.0, 1.0))
    values = np.zeros((1, *geometry.shape), np.float16)
    values[0, 0] = np.linspace(0.505, 1.0, 100).reshape(10, 10)
    labels = LabelMap(np.ones(geometry.shape, np.uint8), {1: "lesion"}, geometry)
    volume = Volume(np.zeros(geometry.shape, np.int16), geometry)
    (finding,) = find_lesions(labels, Probabilities(values, (0, 0, 0), ("lesion",)), volume)
    assert finding.probability == pytest.approx(np.linspace(0.505, 1.0, 100)[-10:].mean(), abs=1e-3)


def test_a_map_without_lesion_has_no_findings() -> None:
    geometry = toy_geometry((4, 5, 6))
    assert measured([], geometry) == ()
