"""Every number of an evaluation, from its cases, with the interval it might move in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.bootstrap import interval_95
from engine.evaluation.calibration import (
    Bin,
    calibration_error,
    cross_fitted,
    fit_temperature,
    reliability,
)
from engine.evaluation.classification import (
    accuracy,
    auroc,
    confusion_matrix,
    macro_auroc,
    macro_f1,
    macro_sensitivity,
    macro_specificity,
)
from engine.evaluation.compare import Abilities, CaseRow
from engine.evaluation.detection import (
    IOUS,
    average_precision,
    case_boxes,
    mean_average_precision,
    mean_average_recall,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an evaluation.

    Args:
        name: What a table calls it.
        value: NaN where no case bears on it.
        interval: 95 % bootstrap interval over cases; NaN where there is none to give.
        num_cases: That bear on it.
    """

    name: str
    value: float
    interval: tuple[float, float]
    num_cases: int


def all_figures(rows: Sequence[CaseRow], abilities: Abilities, seed: int) -> tuple[Figure, ...]:
    """Return every figure; those that the system or the cases say nothing about are NaN.

    Args:
        rows: One per case.
        abilities: Of the system.
        seed: Of the bootstrap.
    """
    table = _Table(seed)
    return (
        *_of_structures(rows, table),
        *_of_boxes(rows, table),
        *_of_cases(rows, table),
        *_of_subtypes(rows, abilities, table),
        *_of_costs(rows, table),
    )


def subtype_confusion(rows: Sequence[CaseRow], num_subtypes: int) -> NDArray[np.int64]:
    """Count typed cases by true subtype and answer; see `confusion_matrix`."""
    typed = _typed(rows) if num_subtypes else []
    return _matrix([(row.subtype, row.answer) for row in typed], num_subtypes)


def case_reliability(rows: Sequence[CaseRow]) -> tuple[Bin, ...]:
    """Return the bins of the surest finding's probability; right is where there is a lesion."""
    probabilities, has_lesion = _case_chances(rows)
    return reliability(probabilities[:, 1], has_lesion.astype(bool))


def subtype_reliability(rows: Sequence[CaseRow]) -> tuple[Bin, ...]:
    """Return the bins of the answered subtype's probability."""
    return _answer_bins(*_subtype_chances(rows))


class _Table:
    def __init__(self, seed: int) -> None:
        self._seed = seed

    def figure(
        self, name: str, values: Sequence[T], statistic: Callable[[Sequence[T]], float]
    ) -> Figure:
        if not values:
            return Figure(name, nan, (nan, nan), 0)
        interval = interval_95(values, statistic, seed=self._seed)
        return Figure(name, statistic(values), interval, len(values))

    def mean(self, name: str, values: Sequence[float]) -> Figure:
        return self.figure(name, [value for value in values if not isnan(value)], _mean)


def _bare(name: str, value: float, num_cases: int) -> Figure:
    """Return a figure without an interval: resampling would say nothing true about it."""
    return Figure(name, value if num_cases else nan, (nan, nan), num_cases)


def _of_structures(rows: Sequence[CaseRow], table: _Table) -> Iterator[Figure]:
    agreements = {
        "Pancreas": [row.pancreas for row in rows],
        "Lesion": [row.lesion for row in rows],
    }
    for title, agreed in agreements.items():
        yield table.mean(f"{title} Dice", [each.dice for each in agreed])
        yield table.mean(f"{title} NSD at 2 mm", [each.nsd for each in agreed])
        yield table.mean(f"{title} HD95 in mm", [each.hd95_mm for each in agreed])
    pairs = [(row.pancreas.dice, row.lesion.dice) for row in rows]
    both = pairs if not np.isnan(pairs).all(axis=0).any() else []
    yield table.figure("Mean Dice of pancreas and lesion", both, _mean_of_means)


def _of_boxes(rows: Sequence[CaseRow], table: _Table) -> Iterator[Figure]:
    counted = [row for row in rows if row.matches]
    found = [row.detections for row in counted]
    boxes = [case_boxes(row.matches) for row in counted]
    first = [case_boxes(row.matches[:1]) for row in counted]
    half = IOUS.index(0.5)
    last = [case_boxes(row.matches[half : half + 1]) for row in counted]
    false = [float(each.num_false) for each in found]
    healthy = [float(row.detections.num_false) for row in counted if row.is_healthy]
    hits = [(each.num_hits, each.num_lesions) for each in found if each.num_lesions]
    yield table.figure("Lesion AP at IoU 0.1", found, average_precision)
    yield table.figure("Lesion AP at IoU 0.1 (COCO)", first, mean_average_precision)
    yield table.figure("Lesion AP at IoU 0.5 (COCO)", last, mean_average_precision)
    yield table.figure("Lesion mAP at IoU 0.1 to 0.5", boxes, mean_average_precision)
    yield table.figure("Lesion mAR at IoU 0.1 to 0.5", boxes, mean_average_recall)
    yield table.figure("Lesions found", hits, _share)
    yield table.mean("False lesions per healthy case", healthy)
    yield table.mean("False lesions per case", false)


def _of_cases(rows: Sequence[CaseRow], table: _Table) -> Iterator[Figure]:
    asked = [row for row in rows if row.has_lesion is not None and not isnan(row.probability)]
    chances = [(bool(row.has_lesion), row.probability) for row in asked]
    # A finding is an alarm: the threshold is the one the system itself reports from.
    right = [float(bool(row.has_lesion) == (row.probability > 0)) for row in asked]
    sick = [value for row, value in zip(asked, right, strict=True) if row.has_lesion]
    healthy = [value for row, value in zip(asked, right, strict=True) if not row.has_lesion]
    yield table.figure("Case AUROC", chances, _auroc)
    yield table.mean("Case accuracy", right)
    yield table.mean("Case sensitivity", sick)
    yield table.mean("Case specificity", healthy)
    probabilities, wanted = _case_chances(rows)
    yield from _calibration("Case", probabilities, wanted, _lesion_bins)


def _of_subtypes(rows: Sequence[CaseRow], abilities: Abilities, table: _Table) -> Iterator[Figure]:
    num_subtypes = len(abilities.subtypes)
    typed = _typed(rows) if num_subtypes else []
    answers = [(row.subtype, row.answer) for row in typed]
    scores = {
        "Subtype macro-F1": macro_f1,
        "Subtype accuracy": accuracy,
        "Subtype sensitivity": macro_sensitivity,
        "Subtype specificity": macro_specificity,
    }
    for name, score in scores.items():
        yield table.figure(name, answers, lambda r, s=score: s(_matrix(r, num_subtypes)))
    given = [(row.subtype, row.subtype_probabilities) for row in typed if row.subtype_probabilities]
    yield table.figure("Subtype AUROC", given, _macro_auroc)
    for subtype, title in enumerate(abilities.subtypes):
        one = [(wanted == subtype, chances[subtype]) for wanted, chances in given]
        yield table.figure(f"Subtype AUROC, {title}", one, _auroc)
    yield from _calibration("Subtype", *_subtype_chances(typed), _answer_bins)


def _of_costs(rows: Sequence[CaseRow], table: _Table) -> Iterator[Figure]:
    seconds = [row.seconds for row in rows]
    yield table.mean("Seconds per case", seconds)
    yield table.figure("Median seconds per case", seconds, lambda r: float(np.median(r)))
    known = [row.memory_bytes for row in rows if row.memory_bytes]
    yield _bare("Peak memory in MB", max(known, default=0) / 1e6, len(known))


def _calibration(
    title: str,
    probabilities: NDArray[np.float64],
    wanted: NDArray[np.int64],
    bins: Callable[[NDArray[np.float64], NDArray[np.int64]], tuple[Bin, ...]],
) -> Iterator[Figure]:
    # Without an interval: drawing cases twice makes a classifier look worse calibrated than it is.
    num, scaled = len(wanted), cross_fitted(probabilities, wanted)
    yield _bare(f"{title} ECE", calibration_error(bins(probabilities, wanted)), num)
    yield _bare(
        f"{title} ECE, temperature cross-fitted", calibration_error(bins(scaled, wanted)), num
    )
    yield _bare(f"{title} temperature", fit_temperature(probabilities, wanted), num)


def _lesion_bins(probabilities: NDArray[np.float64], wanted: NDArray[np.int64]) -> tuple[Bin, ...]:
    return reliability(probabilities[:, 1], wanted.astype(bool))


def _answer_bins(probabilities: NDArray[np.float64], wanted: NDArray[np.int64]) -> tuple[Bin, ...]:
    if not len(wanted):
        return ()
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == wanted)


def _case_chances(rows: Sequence[CaseRow]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    asked = [row for row in rows if row.has_lesion is not None and not isnan(row.probability)]
    chances = np.array([(1 - row.probability, row.probability) for row in asked], np.float64)
    return chances.reshape(-1, 2), np.array([int(bool(row.has_lesion)) for row in asked], np.int64)


def _subtype_chances(rows: Sequence[CaseRow]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    given = [row for row in _typed(rows) if row.subtype_probabilities]
    chances = np.array([row.subtype_probabilities for row in given], np.float64)
    return chances, np.array([row.subtype for row in given], np.int64)


def _typed(rows: Sequence[CaseRow]) -> list[CaseRow]:
    return [row for row in rows if row.subtype is not None]


def _matrix(answers: Sequence[tuple[int | None, int]], num_subtypes: int) -> NDArray[np.int64]:
    wanted = [true for true, _ in answers if true is not None]
    return confusion_matrix(wanted, [answer for _, answer in answers], num_subtypes)


def _auroc(chances: Sequence[tuple[bool, float]]) -> float:
    positive, scores = zip(*chances, strict=True)
    return auroc(np.array(positive, np.bool_), np.array(scores, np.float64))


def _macro_auroc(given: Sequence[tuple[int | None, tuple[float, ...]]]) -> float:
    wanted, chances = zip(*given, strict=True)
    return macro_auroc(np.array(wanted, np.int64), np.array(chances, np.float64))


def _share(hits: Sequence[tuple[int, int]]) -> float:
    found, wanted = np.sum(hits, axis=0)
    return float(found / wanted)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_of_means(pairs: Sequence[tuple[float, float]]) -> float:
    values = np.array(pairs)
    known = ~np.isnan(values)
    if not known.any(axis=0).all():
        return nan
    return float((np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)).mean())
