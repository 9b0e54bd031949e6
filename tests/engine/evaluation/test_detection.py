"""Boxes are matched and counted as documented."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from engine.evaluation.detection import (
    IOUS,
    Candidate,
    CaseDetections,
    average_precision,
    average_precision_coco,
    case_boxes,
    froc,
    iou,
    match,
    mean_average_precision,
    mean_average_recall,
    sensitivity_at,
)
from engine.finding import Box


def cube(x: float, size: float = 10.0) -> Box:
    return Box((x, 0.0, 0.0), (x + size, size, size))


def detections(*hits: tuple[float, bool], num_lesions: int) -> CaseDetections:
    return CaseDetections(tuple(Candidate(p, hit) for p, hit in hits), num_lesions)


@pytest.mark.parametrize(
    ("shift", "value"), [(0.0, 1.0), (5.0, 1 / 3), (10.0, 0.0), (25.0, 0.0), (-5.0, 1 / 3)]
)
def test_overlap_of_shifted_cubes(shift: float, value: float) -> None:
    assert iou(cube(0.0), cube(shift)) == pytest.approx(value)


def test_overlap_of_a_cube_within_a_cube_is_the_ratio_of_volumes() -> None:
    assert iou(cube(2.0, size=5.0), cube(0.0)) == pytest.approx(1 / 8)


def test_a_hit_needs_an_overlap_of_a_tenth() -> None:
    # Shifted by s of 10 mm, the overlap is (10 - s) / (10 + s).
    assert match([(cube(8.0), 0.9)], [cube(0.0)]).candidates[0].is_hit
    assert not match([(cube(8.3), 0.9)], [cube(0.0)]).candidates[0].is_hit


def test_a_second_box_on_a_lesion_is_false() -> None:
    found = match([(cube(1.0), 0.5), (cube(2.0), 0.9)], [cube(0.0)])
    assert found.candidates == (Candidate(0.9, True), Candidate(0.5, False))
    assert found.num_false == 1


def test_the_surest_box_chooses_the_lesion_it_overlaps_most() -> None:
    found = match([(cube(4.0), 0.9), (cube(0.0), 0.8)], [cube(0.0), cube(6.0)])
    assert [candidate.is_hit for candidate in found.candidates] == [True, True]


def test_boxes_of_a_healthy_case_are_all_false() -> None:
    assert match([(cube(0.0), 0.9), (cube(50.0), 0.2)], []).num_false == 2


def test_average_precision_is_one_when_all_lesions_come_first() -> None:
    cases = [
        detections((0.9, True), (0.3, False), num_lesions=1),
        detections((0.8, True), num_lesions=1),
    ]
    assert average_precision(cases) == pytest.approx(1.0)


def test_average_precision_by_hand() -> None:
    # hit, miss, hit of three lesions: 1/3 * 1 + 1/3 * 2/3.
    cases = [
        detections((0.9, True), (0.7, True), num_lesions=2),
        detections((0.8, False), num_lesions=1),
    ]
    assert average_precision(cases) == pytest.approx(1 / 3 + 2 / 9)


def test_average_precision_does_not_depend_on_the_order_of_ties() -> None:
    hit_first = [detections((0.5, True), num_lesions=1), detections((0.5, False), num_lesions=0)]
    assert average_precision(hit_first) == pytest.approx(0.5)
    assert average_precision(hit_first[::-1]) == pytest.approx(0.5)


def test_average_precision_without_boxes_is_zero_and_without_lesions_unknown() -> None:
    assert average_precision([detections(num_lesions=2)]) == 0.0
    assert isnan(average_precision([detections((0.9, False), num_lesions=0)]))


def test_sensitivity_grows_with_the_false_boxes_allowed() -> None:
    cases = [
        detections((0.9, True), (0.4, False), num_lesions=1),
        detections((0.8, False), (0.6, True), num_lesions=2),
        detections(num_lesions=0),
        detections(num_lesions=0),
    ]
    assert sensitivity_at(cases, (0.0, 0.25, 0.5)) == pytest.approx(
        {0.0: 1 / 3, 0.25: 2 / 3, 0.5: 2 / 3}
    )
    assert sensitivity_at(cases[2:]) == {}


def test_the_curve_holds_the_sensitivities_read_off_it() -> None:
    cases = [
        detections((0.9, True), (0.4, False), num_lesions=1),
        detections((0.8, False), (0.6, True), num_lesions=2),
    ]
    curve = froc(cases)
    points = [(0, 0), (0, 1 / 3), (0.5, 1 / 3), (0.5, 2 / 3), (1, 2 / 3)]
    np.testing.assert_allclose(curve, points)
    for limit, sensitivity in sensitivity_at(cases).items():
        assert sensitivity == max(y for x, y in curve if x <= limit)
    assert froc([detections((0.9, False), num_lesions=0)]) == ()


def test_overlaps_of_map_are_those_of_the_coco_like_range() -> None:
    assert pytest.approx((0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)) == IOUS


def test_coco_precision_by_hand() -> None:
    # Hit, miss, hit of three lesions: precision 1 up to recall 1/3, 2/3 up to 2/3, then none.
    cases = [
        detections((0.9, True), (0.7, True), num_lesions=2),
        detections((0.8, False), num_lesions=1),
    ]
    assert average_precision_coco(cases) == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)


def test_coco_figures_without_boxes_are_zero_and_without_lesions_unknown() -> None:
    missed, healthy = detections(num_lesions=2), detections((0.9, False), num_lesions=0)
    assert average_precision_coco([missed]) == mean_average_recall([case_boxes([missed])]) == 0.0
    assert isnan(average_precision_coco([healthy]))
    assert isnan(mean_average_recall([case_boxes([healthy])]))


def random_case(generator: np.random.Generator) -> tuple[list[tuple[Box, float]], list[Box]]:
    """Return boxes that hit their lesions more or less, some that hit none, and the lesions."""
    lesions = [cube(30.0 * place, size=12.0) for place in range(generator.integers(0, 4))]
    boxes = []
    for lesion in lesions:
        for _ in range(generator.integers(0, 3)):
            shift, size = generator.uniform(0, 6), generator.uniform(8, 16)
            boxes.append((cube(lesion.lower_mm[0] + shift, size), float(generator.random())))
    for _ in range(generator.integers(0, 3)):
        boxes.append((cube(generator.uniform(200, 300)), float(generator.random())))
    return boxes, lesions


def random_cases(seed: int) -> list[tuple[list[tuple[Box, float]], list[Box]]]:
    """Return cases whose recalls are no whole hundredths, about which MONAI's rounding decides."""
    generator = np.random.default_rng(seed)
    while True:
        cases = [random_case(generator) for _ in range(8)]
        num_lesions = sum(len(lesions) for _, lesions in cases)
        if num_lesions % 2 and num_lesions % 5:
            return cases


@pytest.mark.parametrize("seed", range(8))
def test_mean_average_precision_and_recall_are_those_of_monai(seed: int) -> None:
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    cases = random_cases(seed)
    ours = [case_boxes([match(*case, hit_iou=iou) for iou in IOUS]) for case in cases]
    theirs = COCOMetric(["lesion"], iou_list=[0.1, 0.5], max_detection=[100], verbose=False)
    matched = matching_batch(
        iou_fn=box_iou,
        iou_thresholds=theirs.iou_thresholds,
        pred_boxes=[as_array([box for box, _ in boxes]) for boxes, _ in cases],
        pred_classes=[np.zeros(len(boxes), int) for boxes, _ in cases],
        pred_scores=[np.array([chance for _, chance in boxes]) for boxes, _ in cases],
        gt_boxes=[as_array(lesions) for _, lesions in cases],
        gt_classes=[np.zeros(len(lesions), int) for _, lesions in cases],
    )
    figures, _ = theirs(matched)
    assert mean_average_precision(ours) == pytest.approx(
        figures["mAP_IoU_0.10_0.50_0.05_MaxDet_100"], abs=1e-7
    )
    assert mean_average_recall(ours) == pytest.approx(
        figures["mAR_IoU_0.10_0.50_0.05_MaxDet_100"], abs=1e-7
    )
    for overlap in (0.1, 0.5):
        at = [match(boxes, lesions, hit_iou=overlap) for boxes, lesions in cases]
        assert average_precision_coco(at) == pytest.approx(
            figures[f"AP_IoU_{overlap:.2f}_MaxDet_100"], abs=1e-7
        )
        # Precision between two recalls is that of the better one: never below the sum's.
        assert average_precision_coco(at) >= average_precision(at) - 1 / 101


def as_array(boxes: list[Box]) -> np.ndarray:
    return np.array([(*box.lower_mm, *box.upper_mm) for box in boxes]).reshape(-1, 6)
