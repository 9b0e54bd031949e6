"""How well predicted boxes find the lesions.

Boxes are `engine.finding.Box`, along the patient's axes, in mm. A hit is an overlap (intersection
over union) of at least 0.1 unless stated otherwise, as nnDetection and PANORAMA count.

There are two average precisions. `average_precision` sums precision times gain in recall, as
picai_eval and scikit-learn do, and does not depend on the order of equal probabilities.
`average_precision_coco` reads the falling envelope of precision at 101 recalls, as COCO, MONAI
and nnDetection do; the papers' mAP columns are of this kind, and it is the larger of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.finding import Box

HIT_IOU = 0.1
IOUS = tuple(round(0.1 + 0.05 * step, 2) for step in range(9))
"""The overlaps that mAP is averaged over: 0.1 to 0.5 in steps of 0.05, as in nnDetection."""

MAX_BOXES = 100
"""Boxes of a case that COCO's figures count, the surest first."""

_FALSE_PER_CASE = (0.25, 0.5, 1.0, 2.0)
_RECALLS_PERCENT = np.arange(101)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A predicted box, matched against its case's lesions.

    Args:
        probability: That it is a lesion.
        is_hit: Whether it is the surest box on a lesion.
    """

    probability: float
    is_hit: bool


@dataclass(frozen=True, slots=True)
class CaseDetections:
    """The candidates of one case.

    Args:
        candidates: Most probable first.
        num_lesions: That the reference has.
    """

    candidates: tuple[Candidate, ...]
    num_lesions: int

    @property
    def num_hits(self) -> int:
        """Number of lesions found."""
        return sum(candidate.is_hit for candidate in self.candidates)

    @property
    def num_false(self) -> int:
        """Number of boxes that hit no lesion."""
        return sum(not candidate.is_hit for candidate in self.candidates)


def iou(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    lower = np.maximum(first.lower_mm, second.lower_mm)
    upper = np.minimum(first.upper_mm, second.upper_mm)
    shared = float(np.prod(np.maximum(0.0, upper - lower)))
    if shared == 0.0:
        return 0.0
    return shared / (_volume(first) + _volume(second) - shared)


def match(
    boxes: Sequence[tuple[Box, float]], lesions: Sequence[Box], *, hit_iou: float = HIT_IOU
) -> CaseDetections:
    """Match the boxes of one case to its lesions.

    The surest box chooses first, among the lesions still free the one it overlaps most (the rule
    of COCO). A second box on a lesion is a false one.

    Args:
        boxes: (box, probability), in any order.
        lesions: Of the reference.
        hit_iou: Overlap from which a box hits.
    """
    free = list(lesions)
    candidates = []
    for box, probability in sorted(boxes, key=lambda entry: -entry[1]):
        overlaps = [iou(box, lesion) for lesion in free]
        is_hit = bool(overlaps) and max(overlaps) >= hit_iou
        if is_hit:
            free.pop(int(np.argmax(overlaps)))
        candidates.append(Candidate(probability, is_hit))
    return CaseDetections(tuple(candidates), len(lesions))


def average_precision(cases: Sequence[CaseDetections]) -> float:
    """Return the average precision over all boxes of all cases.

    The sum of precision times gain in recall along falling probability, without interpolation:
    what picai_eval and scikit-learn report. Lesions without a box are never recalled.

    Returns:
        NaN where there is no lesion.
    """
    num_lesions = sum(case.num_lesions for case in cases)
    if num_lesions == 0:
        return float("nan")
    probabilities, hits = _pooled(cases)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    recall = found / num_lesions
    # Boxes of equal probability count at once: which of them came first means nothing.
    ends = np.flatnonzero(np.append(np.diff(probabilities) != 0, True)) if len(hits) else []
    gain = np.diff(recall[ends], prepend=0.0)
    return float((precision[ends] * gain).sum())


def sensitivity_at(
    cases: Sequence[CaseDetections], false_per_case: Sequence[float] = _FALSE_PER_CASE
) -> dict[float, float]:
    """Return the best sensitivity at each number of false boxes per case (FROC).

    Returns:
        Empty where there is no case or no lesion.
    """
    num_lesions = sum(case.num_lesions for case in cases)
    if num_lesions == 0:
        return {}
    probabilities, hits = _pooled(cases)
    ends = np.flatnonzero(np.append(np.diff(probabilities) != 0, True)) if len(hits) else []
    sensitivity = np.cumsum(hits)[ends] / num_lesions
    false = np.cumsum(~hits)[ends] / len(cases)
    return {limit: float(sensitivity[false <= limit].max(initial=0.0)) for limit in false_per_case}


def froc(cases: Sequence[CaseDetections]) -> tuple[tuple[float, float], ...]:
    """Return the whole FROC curve: (false boxes per case, sensitivity) along falling probability.

    Returns:
        From (0, 0) on, one point for every probability; empty where there is no lesion.
    """
    num_lesions = sum(case.num_lesions for case in cases)
    if num_lesions == 0:
        return ()
    probabilities, hits = _pooled(cases)
    ends = np.flatnonzero(np.append(np.diff(probabilities) != 0, True)) if len(hits) else []
    false = (np.cumsum(~hits)[ends] / len(cases)).tolist()
    sensitivity = (np.cumsum(hits)[ends] / num_lesions).tolist()
    return ((0.0, 0.0), *zip(false, sensitivity, strict=True))


def average_precision_coco(cases: Sequence[CaseDetections]) -> float:
    """Return COCO's average precision: the mean of the precision envelope at 101 recalls.

    Equal probabilities keep the order of the cases, as in MONAI's `COCOMetric`.

    Returns:
        NaN where there is no lesion.
    """
    return mean_average_precision([case_boxes([case]) for case in cases])


@dataclass(frozen=True, slots=True, eq=False)
class CaseBoxes:
    """The boxes of one case, matched at several overlaps.

    Args:
        probabilities: (n,), falling.
        hits: (overlaps, n).
        num_lesions: That the reference has.
    """

    probabilities: NDArray[np.float64]
    hits: NDArray[np.bool_]
    num_lesions: int


def case_boxes(matches: Sequence[CaseDetections]) -> CaseBoxes:
    """Return one case's boxes, matched at several overlaps, as arrays.

    Args:
        matches: Of one and the same case; one per overlap.
    """
    surest = [match.candidates[:MAX_BOXES] for match in matches]
    return CaseBoxes(
        np.array([candidate.probability for candidate in surest[0]], np.float64),
        np.array([[candidate.is_hit for candidate in row] for row in surest], np.bool_),
        matches[0].num_lesions,
    )


def mean_average_precision(cases: Sequence[CaseBoxes]) -> float:
    """Return `average_precision_coco`, averaged over the overlaps the boxes were matched at.

    Returns:
        NaN where there is no lesion.
    """
    num_lesions = sum(case.num_lesions for case in cases)
    if num_lesions == 0:
        return float("nan")
    order = np.argsort(-np.concatenate([case.probabilities for case in cases]), kind="stable")
    found = np.cumsum(np.concatenate([case.hits for case in cases], axis=1)[:, order], axis=1)
    precision = found / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Beyond the last recall nothing is found: precision 0.
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    # In whole numbers: MONAI rounds recalls to float32, and 0.7 may then fall short of 0.7.
    places = [np.searchsorted(100 * row, _RECALLS_PERCENT * num_lesions) for row in found]
    return float(np.mean([row[place] for row, place in zip(envelope, places, strict=True)]))


def mean_average_recall(cases: Sequence[CaseBoxes]) -> float:
    """Return the share of lesions found, averaged over the overlaps; NaN without a lesion."""
    num_lesions = sum(case.num_lesions for case in cases)
    if num_lesions == 0:
        return float("nan")
    num_hits = np.sum([case.hits.sum(axis=1) for case in cases], axis=0)
    return float(np.mean(num_hits / num_lesions))


def _pooled(
    cases: Sequence[CaseDetections],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    pooled = [candidate for case in cases for candidate in case.candidates]
    pooled.sort(key=lambda candidate: -candidate.probability)
    probabilities = np.array([candidate.probability for candidate in pooled], dtype=np.float64)
    return probabilities, np.array([candidate.is_hit for candidate in pooled], dtype=np.bool_)


def _volume(box: Box) -> float:
    return float(np.prod(np.subtract(box.upper_mm, box.lower_mm)))
