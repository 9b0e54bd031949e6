"""What comes back lies on exactly the scan's own grid."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.prepare import prepare
from engine.inference.memory import infer_within_memory
from engine.inference.region import Region, full_region
from engine.inference.restore import to_scan
from engine.volume import Volume
from tests.engine.inference.toys import (
    LESION_HU,
    PANCREAS_HU,
    reordered,
    toy_geometry,
    toy_model,
    toy_system,
    toy_volume,
)


def truth(volume: Volume) -> np.ndarray:
    hu = volume.voxels_hu
    return ((hu >= PANCREAS_HU).astype(np.uint8) + (hu >= LESION_HU)).astype(np.uint8)


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & wanted) / (found.sum() + wanted.sum())


def restored(volume: Volume, region: Region | None = None):
    model = toy_model()
    region = region or full_region(volume)
    prepared = prepare(region.volume, model.system.preparation)
    outputs = infer_within_memory(model, prepared)
    return (*to_scan(outputs, prepared, region, model.system), outputs, prepared)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (True, True, True)])
def test_restored_labels_have_the_geometry_of_the_scan(
    order: tuple[int, int, int], flips: tuple[bool, ...]
) -> None:
    volume = reordered(toy_volume(), order, flips)
    labels, *_ = restored(volume)
    assert labels.geometry.is_same_as(volume.geometry)
    assert dict(labels.names) == {1: "pancreas", 2: "lesion"}
    # The scan has the spacing of the network, so that nothing is lost on the way.
    np.testing.assert_array_equal(labels.labels, truth(volume))


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [
        pytest.param((21, 61, 67), (5.0, 1.7, 1.3), id="thick and anisotropic"),
        pytest.param((61, 71, 63), (1.0, 0.7, 0.9), id="finer than the network"),
        pytest.param((50, 41, 43), (2.0, 2.2, 2.2), id="coarser in plane"),
    ],
)
def test_odd_and_anisotropic_scans_come_back_in_place(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> None:
    volume = toy_volume(toy_geometry(shape, spacing_mm))
    labels, *_ = restored(volume)
    assert labels.labels.shape == shape
    assert dice(labels.labels > 0, truth(volume) > 0) > 0.93
    assert dice(labels.labels == 2, truth(volume) == 2) > 0.85


def test_a_scan_smaller_than_a_window_comes_back_whole() -> None:
    volume = toy_volume(toy_geometry((9, 20, 21)), organ_radius_mm=7.0, lesion_radius_mm=0.0)
    labels, *_ = restored(volume)
    np.testing.assert_array_equal(labels.labels, truth(volume))


def test_the_box_equals_what_the_whole_scan_would_have_been_given() -> None:
    volume = reordered(
        toy_volume(toy_geometry((41, 90, 80), (2.3, 1.2, 1.1))), (1, 0, 2), (True,) * 3
    )
    _, probabilities, outputs, prepared = restored(volume)
    whole = prepared.to_scan(outputs)[1:]
    box = tuple(
        slice(a, a + n)
        for a, n in zip(probabilities.start, probabilities.values.shape[1:], strict=True)
    )
    np.testing.assert_allclose(probabilities.values, whole[(slice(None), *box)], atol=1e-3)
    outside = whole.sum(axis=0)
    outside[box] = 0.0
    assert outside.max() < 0.5


def test_a_region_is_restored_into_the_whole_scan() -> None:
    volume = toy_volume()
    region = Region(volume, (10, 20, 22), (42, 80, 90))
    labels, probabilities, *_ = restored(volume, region)
    np.testing.assert_array_equal(labels.labels, truth(volume))
    lesion = probabilities.within("lesion", (slice(24, 26), slice(44, 47), slice(52, 55)))
    assert lesion.shape == (2, 3, 3)
    assert lesion.min() > 0.9


def test_a_scan_without_foreground_gives_an_empty_map() -> None:
    volume = Volume(np.zeros((12, 30, 33), np.int16), toy_geometry((12, 30, 33)))
    labels, probabilities, *_ = restored(volume)
    assert not labels.labels.any()
    assert probabilities.values.size == 0


@pytest.mark.parametrize(
    ("shares", "threshold", "label"),
    [
        ((0.4, 0.35, 0.25), 0.5, 1),
        ((0.2, 0.3, 0.5), 0.5, 2),
        ((0.2, 0.3, 0.5), 0.6, 1),
        ((0.6, 0.2, 0.2), 0.5, 0),
        ((0.5, 0.2, 0.3), 0.3, 2),
    ],
)
def test_a_lesion_needs_its_threshold_and_supports_pancreas_below_it(
    shares: tuple[float, float, float], threshold: float, label: int
) -> None:
    volume = Volume(np.zeros((4, 8, 8), np.int16), toy_geometry((4, 8, 8)))
    system = toy_system(lesion_threshold=threshold)
    prepared = prepare(volume, system.preparation)
    outputs = np.broadcast_to(
        np.asarray(shares, np.float32)[:, None, None, None], (3, *prepared.image.shape)
    )
    labels, _ = to_scan(outputs, prepared, full_region(volume), system)
    assert (labels.labels == label).all()
