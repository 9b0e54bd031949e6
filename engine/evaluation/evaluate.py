"""Compare predictions with reference labels, case by case and as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from engine.case import Case
from engine.components import find_components
from engine.evaluation.bootstrap import interval_95
from engine.evaluation.classification import (
    NO_ANSWER,
    accuracy,
    collapse_alarms,
    confusion_matrix,
    macro_f1,
)
from engine.evaluation.detection import (
    CaseDetections,
    average_precision,
    match,
    sensitivity_at,
)
from engine.evaluation.segmentation import dice
from engine.finding import Prediction
from engine.volume import LabelMap

_LESION = "lesion"


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case, compared.

    Args:
        case_id: The case.
        pancreas_dice: Of pancreas and lesion together.
        lesion_dice: NaN where the reference has no lesion.
        subtype: True subtype; None without a lesion or where unknown.
        answer: Most probable subtype; `NO_ANSWER` where none was given.
        detections: Boxes matched to lesions.
        seconds: Wall time of the whole prediction.
    """

    case_id: str
    pancreas_dice: float
    lesion_dice: float
    subtype: int | None
    answer: int
    detections: CaseDetections
    seconds: float

    @property
    def is_healthy(self) -> bool:
        """Whether the reference has no lesion."""
        return self.detections.num_lesions == 0


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an evaluation.

    Args:
        name: What a table calls it.
        value: NaN where no case bears on it.
        interval: 95 % bootstrap interval over cases.
        num_cases: That bear on it.
    """

    name: str
    value: float
    interval: tuple[float, float]
    num_cases: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A system on a set of cases.

    Args:
        system: Name of the system.
        weights_digest: SHA-256 of its weights.
        rows: One per case.
        figures: Means and pooled scores.
        confusion: Cases by true subtype (rows) and answer (columns; the last is no answer).
        sensitivity: Of lesions, by false boxes per case.
        alarms: Finished sentences on signs of a collapsed classifier.
    """

    system: str
    weights_digest: str
    rows: tuple[CaseRow, ...]
    figures: tuple[Figure, ...]
    confusion: tuple[tuple[int, ...], ...]
    sensitivity: tuple[tuple[float, float], ...]
    alarms: tuple[str, ...]

    def figure(self, name: str) -> Figure:
        """Return the figure called `name`.

        Raises:
            KeyError: If there is none.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


def evaluate(
    pairs: Iterable[tuple[Case, Prediction]], *, num_subtypes: int = 3, seed: int = 0
) -> Evaluation:
    """Compare predictions with their cases' reference labels.

    Args:
        pairs: Case and prediction on one grid; may be a generator, so that only one scan is in
            memory at a time.
        num_subtypes: Number of lesion subtypes.
        seed: Of the bootstrap.

    Raises:
        ValueError: If there is no pair, a case has no labels, its grid differs from that of the
            prediction, or the predictions are not all of one system.
    """
    rows: list[CaseRow] = []
    systems: set[tuple[str, str]] = set()
    for case, prediction in pairs:
        rows.append(compare(case, prediction))
        systems.add((prediction.system, prediction.weights_digest))
    if len(systems) != 1:
        raise ValueError(f"expected the predictions of one system, got {sorted(systems)}")
    ((system, digest),) = systems
    matrix = _confusion(rows, num_subtypes)
    has_subtypes = bool(matrix.sum())
    return Evaluation(
        system=system,
        weights_digest=digest,
        rows=tuple(rows),
        figures=_figures(rows, num_subtypes, seed),
        confusion=tuple(tuple(int(count) for count in line) for line in matrix),
        sensitivity=tuple(sensitivity_at([row.detections for row in rows]).items()),
        alarms=collapse_alarms(matrix) if has_subtypes else (),
    )


def compare(case: Case, prediction: Prediction) -> CaseRow:
    """Compare one prediction with its case's reference labels.

    Raises:
        ValueError: If the case has no labels, or they lie on another grid.
    """
    reference = case.labels
    if reference is None:
        raise ValueError(f"case {case.case_id} has no reference labels")
    if not reference.geometry.is_same_as(prediction.labels.geometry):
        raise ValueError(f"case {case.case_id}: prediction and reference differ in geometry")
    lesions = [c.box_mm for c in find_components(reference, _LESION)]
    wanted, found = _mask(reference), _mask(prediction.labels)
    boxes = [
        (finding.box_mm, finding.probability)
        for finding in prediction.findings
        if finding.structure == _LESION
    ]
    return CaseRow(
        case_id=case.case_id,
        pancreas_dice=dice(prediction.labels.labels > 0, reference.labels > 0),
        lesion_dice=dice(found, wanted) if lesions else nan,
        subtype=case.subtype if lesions else None,
        answer=_answer(prediction),
        detections=match(boxes, lesions),
        seconds=sum(prediction.seconds.values()),
    )


def _mask(labels: LabelMap) -> np.ndarray:
    return labels.labels == labels.value_of(_LESION)


def _answer(prediction: Prediction) -> int:
    if not prediction.subtype_probabilities:
        return NO_ANSWER
    return int(np.argmax(prediction.subtype_probabilities))


def _figures(rows: Sequence[CaseRow], num_subtypes: int, seed: int) -> tuple[Figure, ...]:
    with_lesion = [row for row in rows if not row.is_healthy]
    healthy = [row for row in rows if row.is_healthy]
    typed = [row for row in with_lesion if row.subtype is not None]

    def figure(
        name: str, part: Sequence[CaseRow], statistic: Callable[[Sequence[CaseRow]], float]
    ) -> Figure:
        value = statistic(part) if part else nan
        return Figure(name, value, interval_95(part, statistic, seed=seed), len(part))

    return (
        figure("Pancreas Dice", rows, lambda r: _mean(row.pancreas_dice for row in r)),
        figure("Lesion Dice", with_lesion, lambda r: _mean(row.lesion_dice for row in r)),
        figure("Subtype macro-F1", typed, lambda r: macro_f1(_confusion(r, num_subtypes))),
        figure("Subtype accuracy", typed, lambda r: accuracy(_confusion(r, num_subtypes))),
        figure("Lesion AP at IoU 0.1", rows, lambda r: average_precision(_detections(r))),
        figure("Lesions found", with_lesion, _sensitivity),
        figure("False lesions per healthy case", healthy, _false_lesions),
        figure("False lesions per case", rows, _false_lesions),
        figure("Seconds per case", rows, lambda r: _mean(row.seconds for row in r)),
    )


def _confusion(rows: Sequence[CaseRow], num_subtypes: int) -> np.ndarray:
    typed = [(row.subtype, row.answer) for row in rows if row.subtype is not None]
    return confusion_matrix([t for t, _ in typed], [a for _, a in typed], num_subtypes)


def _detections(rows: Sequence[CaseRow]) -> list[CaseDetections]:
    return [row.detections for row in rows]


def _sensitivity(rows: Sequence[CaseRow]) -> float:
    hits = sum(candidate.is_hit for row in rows for candidate in row.detections.candidates)
    return hits / sum(row.detections.num_lesions for row in rows)


def _false_lesions(rows: Sequence[CaseRow]) -> float:
    return _mean(row.detections.num_false for row in rows)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
