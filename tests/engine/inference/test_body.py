"""The patient is found, and the air around is not."""

from __future__ import annotations

import numpy as np

from engine.geometry import from_spacing
from engine.inference.body import body_region
from engine.inference.region import Region
from engine.volume import Volume


def _scan() -> np.ndarray:
    voxels = np.full((20, 100, 120), -1000, np.int16)
    _, y, x = np.indices(voxels.shape)
    voxels[((y - 45) / 30) ** 2 + ((x - 60) / 40) ** 2 < 1] = 40
    return voxels


def test_the_box_holds_the_body_and_little_more() -> None:
    voxels = _scan()
    region = body_region(Volume(voxels, from_spacing(voxels.shape, (5.0, 4.0, 4.0))))
    assert region.route == "full"
    assert region.start[1] <= 15 < 75 <= region.stop[1] <= 85
    assert region.start[2] <= 20 < 100 <= region.stop[2] <= 110
    assert (region.start[0], region.stop[0]) == (0, 20)


def test_the_table_does_not_count() -> None:
    voxels = _scan()
    voxels[:, 90:92, 5:115] = 100
    region = body_region(Volume(voxels, from_spacing(voxels.shape, (5.0, 4.0, 4.0))))
    assert region.stop[1] <= 85


def test_a_crop_without_air_is_taken_whole() -> None:
    voxels = np.full((10, 20, 20), 40, np.int16)
    region = body_region(Volume(voxels, from_spacing(voxels.shape, (2.0, 1.0, 1.0))))
    assert (region.start, region.stop) == ((0, 0, 0), (10, 20, 20))


def test_an_empty_scan_is_taken_whole() -> None:
    voxels = np.full((10, 20, 20), -1000, np.int16)
    region = body_region(Volume(voxels, from_spacing(voxels.shape, (5.0, 4.0, 4.0))))
    assert (region.start, region.stop) == ((0, 0, 0), (10, 20, 20))


def test_a_doubtful_region_widens_once_and_then_to_the_patient() -> None:
    voxels = _scan()
    volume = Volume(voxels, from_spacing(voxels.shape, (5.0, 4.0, 4.0)))
    body = body_region(volume)
    small = Region(volume, (5, 30, 40), (15, 60, 80), margin=(1, 2, 2), whole=body.whole)
    wider = small.wider()
    assert (wider.start, wider.stop) == ((4, 28, 38), (16, 62, 82))
    assert wider.route == "region"
    everything = wider.wider()
    assert (everything.start, everything.stop) == (body.start, body.stop)
    assert everything.route == "full"
