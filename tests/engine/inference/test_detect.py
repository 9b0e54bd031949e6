"""Boxes of many windows become the boxes of one patient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.geometry import Geometry, from_spacing
from engine.inference.detect import NO_BOXES, BoxCollector, Boxes, to_patient
from engine.networks.detection import Detection
from tests.engine.inference.toys import SELECTION, boxed

SIZE = (16, 16, 16)
MIDDLE = (6.0, 5.0, 6.0, 10.0, 11.0, 10.0)


def collector() -> BoxCollector:
    return BoxCollector(SIZE, SELECTION)


def nothing() -> Detection:
    return boxed(())


def test_a_single_window_gives_its_boxes_unchanged() -> None:
    collected = collector()
    collected.add(boxed((MIDDLE, 0.8), ((1, 1, 1, 3, 3, 3), 0.3)), (0, 0, 0), ())
    boxes = collected.merged(SIZE)
    np.testing.assert_allclose(boxes.corners_N6, [MIDDLE, (1, 1, 1, 3, 3, 3)], atol=1e-5)
    np.testing.assert_allclose(boxes.probabilities_N, [0.8, 0.3], atol=1e-6)


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_boxes_of_a_mirrored_window_are_turned_back(axes: tuple[int, ...]) -> None:
    box = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
    mirrored = box.copy()
    for axis in axes:
        mirrored[[axis, axis + 3]] = SIZE[axis] - box[[axis + 3, axis]]
    collected = collector()
    collected.add(boxed((tuple(mirrored), 0.7)), (0, 0, 0), axes)
    np.testing.assert_allclose(collected.merged(SIZE).corners_N6, [box], atol=1e-5)


def test_boxes_are_counted_from_the_image_and_not_from_the_window() -> None:
    collected = collector()
    collected.add(boxed((MIDDLE, 0.8)), (3, 20, 7), ())
    (corners,) = collected.merged((40, 40, 40)).corners_N6
    np.testing.assert_allclose(corners, np.add(MIDDLE, (3, 20, 7, 3, 20, 7)), atol=1e-5)


def test_a_view_that_sees_nothing_halves_what_an_equal_one_sees() -> None:
    collected = collector()
    collected.add(boxed((MIDDLE, 0.8)), (0, 0, 0), ())
    collected.add(nothing(), (0, 0, 0), (2,))
    boxes = collected.merged(SIZE)
    np.testing.assert_allclose(boxes.probabilities_N, [0.4], atol=1e-6)


def test_a_view_that_does_not_hold_the_place_has_no_say() -> None:
    collected = collector()
    collected.add(boxed((MIDDLE, 0.8)), (0, 0, 0), ())
    collected.add(nothing(), (16, 0, 0), ())
    np.testing.assert_allclose(collected.merged((32, 16, 16)).probabilities_N, [0.8], atol=1e-6)


def test_views_that_agree_are_averaged_by_their_probability() -> None:
    # As large, as central and as overlapping: only the probability tells them apart.
    collected = collector()
    collected.add(boxed(((4, 4, 5, 12, 12, 11), 0.9)), (0, 0, 0), ())
    collected.add(boxed(((4, 4, 5, 12, 12, 11), 0.3)), (0, 0, 0), (0,))
    boxes = collected.merged(SIZE)
    np.testing.assert_allclose(boxes.probabilities_N, [0.6], atol=1e-6)
    shifted = collector()
    shifted.add(boxed(((4, 4, 4, 12, 12, 11), 0.9)), (0, 0, 0), ())
    shifted.add(boxed(((4, 4, 5, 12, 12, 12), 0.3)), (0, 0, 0), (0,))
    (corners,) = shifted.merged(SIZE).corners_N6
    # Both are half a voxel off the middle; the overlap of the second is 6/8.
    share = 0.3 * 0.75 / (0.9 + 0.3 * 0.75)
    np.testing.assert_allclose(corners, (4, 4, 4 + share, 12, 12, 11 + share), atol=1e-5)


def test_a_lesion_is_judged_by_the_window_that_has_it_in_its_middle() -> None:
    # In the middle of the second of three windows, two sigmas off it in the others.
    collected = collector()
    whole = (9.0, 6.0, 6.0, 15.0, 10.0, 10.0)
    for start, probability in ((0, 0.2), (4, 0.9), (8, 0.2)):
        within = np.subtract(whole, (start, 0, 0, start, 0, 0))
        collected.add(boxed((tuple(within), probability)), (start, 0, 0), ())
    boxes = collected.merged((24, 16, 16))
    rim = np.exp(-2)
    assert boxes.probabilities_N == pytest.approx([(0.9 + 2 * 0.2 * rim) / (1 + 2 * rim)])
    np.testing.assert_allclose(boxes.corners_N6, [whole], atol=1e-5)


def test_lesions_apart_stay_apart() -> None:
    collected = collector()
    for axes in ((), (0,)):
        far = (1.0, 1.0, 1.0, 4.0, 4.0, 4.0) if not axes else (12.0, 1.0, 1.0, 15.0, 4.0, 4.0)
        collected.add(boxed((MIDDLE, 0.8), (far, 0.6)), (0, 0, 0), axes)
    boxes = collected.merged(SIZE)
    np.testing.assert_allclose(boxes.probabilities_N, [0.8, 0.6], atol=1e-6)


def test_boxes_end_at_the_image_and_never_lie_in_its_padding() -> None:
    # An image of 8 slices lies in the middle of a window of 16.
    collected = collector()
    collected.add(boxed(((2, 2, 2, 8, 6, 6), 0.9), ((0, 10, 10, 4, 14, 14), 0.8)), (-4, 0, 0), ())
    boxes = collected.merged((8, 16, 16))
    np.testing.assert_allclose(boxes.corners_N6, [(0, 2, 2, 4, 6, 6)], atol=1e-5)


def test_a_box_that_reaches_out_of_its_window_is_cut_there() -> None:
    collected = collector()
    collected.add(boxed(((-5, 4, 4, 5, 12, 12), 0.9), ((20, 4, 4, 30, 8, 8), 0.9)), (8, 0, 0), ())
    boxes = collected.merged((40, 16, 16))
    np.testing.assert_allclose(boxes.corners_N6, [(8, 4, 4, 13, 12, 12)], atol=1e-5)


def test_no_views_and_empty_views_have_no_boxes() -> None:
    assert len(collector().merged(SIZE)) == 0
    collected = collector()
    collected.add(nothing(), (0, 0, 0), ())
    assert len(collected.merged(SIZE)) == 0
    assert to_patient(NO_BOXES, from_spacing(SIZE, (1, 1, 1), (0, 0, 0))) == ()


def test_the_box_of_one_voxel_is_that_voxel_in_the_patient() -> None:
    geometry = from_spacing((4, 5, 6), (3.0, 2.0, 1.0), (-10.0, 20.0, 30.0))
    boxes = Boxes(np.array([[1, 2, 3, 2, 3, 4]], np.float32), np.array([0.5], np.float32))
    ((box, probability),) = to_patient(boxes, geometry)
    x, y, z = geometry.to_patient([(1, 2, 3)])[0]
    assert box.lower_mm == pytest.approx((x - 0.5, y - 1.0, z - 1.5))
    assert box.upper_mm == pytest.approx((x + 0.5, y + 1.0, z + 1.5))
    assert probability == 0.5


def test_an_oblique_box_is_enclosed_by_the_patients() -> None:
    straight = from_spacing((8, 8, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    turn = np.eye(4)
    half = np.sqrt(0.5)
    turn[:2, :2] = [[half, -half], [half, half]]
    oblique = Geometry(straight.shape, turn @ straight.affine)
    boxes = Boxes(np.array([[2, 2, 2, 6, 6, 6]], np.float32), np.array([1.0], np.float32))
    ((box, _),) = to_patient(boxes, oblique)
    assert np.subtract(box.upper_mm, box.lower_mm) == pytest.approx(
        (4 * np.sqrt(2), 4 * np.sqrt(2), 4)
    )


def test_boxes_can_be_collected_where_no_gradients_are_kept() -> None:
    collected = collector()
    with torch.inference_mode():
        collected.add(boxed((MIDDLE, 0.8)), (0, 0, 0), (0, 1))
        boxes = collected.merged(SIZE)
    assert len(boxes) == 1


def test_only_the_surest_boxes_are_kept_and_nothing_surer_is_lost() -> None:
    # Thirty lesions in a row, each seen by one window in its middle; twenty are kept.
    probabilities = np.linspace(0.9, 0.1, 30)
    collected = collector()
    for number in np.random.default_rng(5).permutation(30):
        detection = boxed((MIDDLE, float(probabilities[number])))
        collected.add(detection, (16 * int(number), 0, 0), ())
    boxes = collected.merged((16 * 30, 16, 16))
    np.testing.assert_allclose(boxes.probabilities_N, probabilities[:20], atol=1e-6)
    np.testing.assert_allclose(boxes.corners_N6[:, 0], 6 + 16 * np.arange(20), atol=1e-4)
