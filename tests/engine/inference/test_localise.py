"""The region holds the pancreas, and doubt makes it wider."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engine.data.prepare import prepare
from engine.inference.localise import find_region
from engine.inference.region import Region, full_region
from engine.volume import LabelMap, Volume
from tests.engine.inference.toys import (
    PANCREAS_HU,
    reordered,
    toy_geometry,
    toy_model,
    toy_system,
    toy_volume,
)


@cache
def big_volume() -> Volume:
    return toy_volume(toy_geometry((54, 80, 86), (3.0, 2.0, 2.0)), organ_mm=(20.0, -10.0, 15.0))


def empty_volume() -> Volume:
    geometry = toy_geometry((80, 160, 170))
    return Volume(np.zeros(geometry.shape, np.int16), geometry)


def with_second_organ(radius_mm: float) -> Volume:
    first = big_volume()
    second = toy_volume(
        first.geometry, organ_mm=(-55.0, 50.0, -50.0), organ_radius_mm=radius_mm, lesion_radius_mm=0
    )
    return Volume(np.maximum(first.voxels_hu, second.voxels_hu), first.geometry)


def margins_mm(region: Region) -> np.ndarray:
    found = np.argwhere(region.scan.voxels_hu >= PANCREAS_HU)
    below = found.min(axis=0) - region.start
    above = np.asarray(region.stop) - 1 - found.max(axis=0)
    return np.minimum(below, above) * region.scan.geometry.spacing_mm


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_region_holds_the_pancreas_with_its_margin_in_any_orientation(
    order: tuple[int, int, int], flips: tuple[bool, ...]
) -> None:
    volume = reordered(big_volume(), order, flips)
    region = find_region(toy_model(), volume)
    assert region.route == "region"
    # One coarse voxel of 4 mm is what the localiser may be off by.
    assert (margins_mm(region) >= 10.0 - 4.0).all()
    assert region.volume.voxels_hu.size < volume.voxels_hu.size / 4


def test_a_region_is_a_view_with_its_own_place_in_the_patient() -> None:
    region = find_region(toy_model(), big_volume())
    part = region.volume
    assert np.shares_memory(part.voxels_hu, region.scan.voxels_hu)
    np.testing.assert_allclose(
        part.geometry.to_patient([(0, 0, 0)]), region.scan.geometry.to_patient([region.start])
    )


def test_a_region_is_no_smaller_than_a_window_and_costs_no_second_one() -> None:
    model = toy_model(toy_system(patch_shape=(32, 64, 64), region_margin_mm=(2.0, 2.0, 2.0)))
    region = find_region(model, big_volume())
    image = prepare(region.volume, model.system.preparation).image
    assert image.shape == (32, 64, 64)


def test_a_system_without_localiser_analyses_the_whole_scan() -> None:
    assert find_region(toy_model(with_localiser=False), big_volume()).route == "full"


def test_a_scan_in_which_nothing_is_found_is_analysed_as_a_whole() -> None:
    assert find_region(toy_model(), empty_volume()).route == "full"


def test_a_rival_of_similar_size_makes_the_region_hold_both() -> None:
    volume = with_second_organ(radius_mm=15.0)
    region = find_region(toy_model(), volume)
    assert region.widened
    assert (margins_mm(region) >= 0).all()


def test_a_stray_far_smaller_than_the_pancreas_is_left_out() -> None:
    region = find_region(toy_model(), with_second_organ(radius_mm=6.0))
    assert not region.widened
    assert (margins_mm(region) < 0).any()


def test_an_implausibly_small_pancreas_makes_the_region_wider_at_once() -> None:
    small = toy_volume(big_volume().geometry, organ_radius_mm=9.0, lesion_radius_mm=0.0)
    assert find_region(toy_model(), small).widened


def test_a_doubtful_region_becomes_wider_once_and_then_the_whole_scan() -> None:
    region = Region(empty_volume(), (20, 50, 60), (40, 90, 110), margin=(5, 10, 10))
    wider = region.wider()
    assert (wider.start, wider.stop) == ((15, 40, 50), (45, 100, 120))
    assert wider.wider().route == "full"


@pytest.mark.parametrize(
    ("box", "doubtful"),
    [
        pytest.param((slice(25, 35), slice(55, 80), slice(70, 100)), False, id="well inside"),
        pytest.param((slice(20, 35), slice(55, 80), slice(70, 100)), True, id="cut by a face"),
        pytest.param((slice(25, 26), slice(55, 60), slice(70, 75)), True, id="too small"),
        pytest.param((slice(0, 0), slice(0, 0), slice(0, 0)), True, id="nothing"),
    ],
)
def test_a_region_is_doubtful_where_what_it_holds_is_cut_or_no_pancreas(
    box: tuple[slice, ...], doubtful: bool
) -> None:
    volume = empty_volume()
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[box] = 1
    label_map = LabelMap(labels, {1: "pancreas"}, volume.geometry)
    region = Region(volume, (20, 50, 60), (40, 90, 110), margin=(5, 10, 10))
    assert region.is_doubtful(label_map) is doubtful
    assert not full_region(volume).is_doubtful(label_map)


def test_a_face_at_the_edge_of_the_scan_cuts_nothing() -> None:
    volume = empty_volume()
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[0:10, 55:80, 70:100] = 1
    label_map = LabelMap(labels, {1: "pancreas"}, volume.geometry)
    region = Region(volume, (0, 50, 60), (40, 90, 110))
    assert not region.is_doubtful(label_map)
    assert replace(region, start=(1, 50, 60)).is_doubtful(label_map)
