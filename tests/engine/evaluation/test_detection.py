"""Boxes are matched and counted as documented."""

from __future__ import annotations

from math import isnan

import pytest

from engine.evaluation.detection import (
    Candidate,
    CaseDetections,
    average_precision,
    iou,
    match,
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
