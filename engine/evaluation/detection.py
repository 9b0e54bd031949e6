"""How well predicted boxes find the lesions.

Boxes are `engine.finding.Box`, along the patient's axes, in mm. A hit is an overlap (intersection
over union) of at least 0.1 unless stated otherwise, as nnDetection and PANORAMA count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.finding import Box

HIT_IOU = 0.1
_FALSE_PER_CASE = (0.25, 0.5, 1.0, 2.0)


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


def _pooled(
    cases: Sequence[CaseDetections],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    pooled = [candidate for case in cases for candidate in case.candidates]
    pooled.sort(key=lambda candidate: -candidate.probability)
    probabilities = np.array([candidate.probability for candidate in pooled], dtype=np.float64)
    return probabilities, np.array([candidate.is_hit for candidate in pooled], dtype=np.bool_)


def _volume(box: Box) -> float:
    return float(np.prod(np.subtract(box.upper_mm, box.lower_mm)))
