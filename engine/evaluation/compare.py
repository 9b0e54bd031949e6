"""One prediction beside its reference.

What nobody looked for is not compared: a structure counts where the case says that a reader
looked for it, or where it is labelled. A lesion that was looked for and is not there makes a
healthy case.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from engine.case import Case
from engine.components import find_components
from engine.evaluation.classification import NO_ANSWER
from engine.evaluation.detection import IOUS, CaseDetections, match
from engine.evaluation.segmentation import UNKNOWN, Agreement, agreement
from engine.finding import Prediction
from engine.system import System
from engine.volume import LabelMap

_PANCREAS = "pancreas"
_LESION = "lesion"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a system can be asked for; the rest of its figures is unknown.

    Args:
        structures: That it segments.
        finds_lesions: Whether it says where lesions are.
        subtypes: Names of the subtypes it tells apart.
    """

    structures: tuple[str, ...]
    finds_lesions: bool
    subtypes: tuple[str, ...]


EVERYTHING = Abilities((_PANCREAS, _LESION), True, ("0", "1", "2"))


def abilities_of(system: System) -> Abilities:
    """Return what `system` can be asked for, by its heads."""
    segments = system.structures if "segmentation" in system.head_names else ()
    return Abilities(
        structures=segments,
        finds_lesions="detection" in system.head_names or _LESION in segments,
        subtypes=system.subtypes,
    )


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case, compared.

    Args:
        case_id: The case.
        pancreas: Of pancreas and lesion together.
        lesion: Unknown where the reference has no lesion.
        has_lesion: Whether the reference has one; None where nobody looked for it.
        probability: Of the surest lesion found, 0 without one; NaN where the system finds none.
        subtype: True subtype; None without a lesion or where unknown.
        subtype_probabilities: As predicted; empty where no subtype was given.
        matches: Boxes matched to lesions, at every overlap of `IOUS`; empty where not counted.
        seconds: Wall time of the whole prediction.
        memory_bytes: Largest memory of the predicting process until then; 0 where unknown.
    """

    case_id: str
    pancreas: Agreement
    lesion: Agreement
    has_lesion: bool | None
    probability: float
    subtype: int | None
    subtype_probabilities: tuple[float, ...]
    matches: tuple[CaseDetections, ...]
    seconds: float
    memory_bytes: int = 0

    @property
    def pancreas_dice(self) -> float:
        """Dice of pancreas and lesion together; NaN where unknown."""
        return self.pancreas.dice

    @property
    def lesion_dice(self) -> float:
        """Dice of the lesion; NaN where the reference has none."""
        return self.lesion.dice

    @property
    def detections(self) -> CaseDetections:
        """Boxes matched at an overlap of 0.1, the usual hit; none where not counted."""
        return self.matches[0] if self.matches else CaseDetections((), 0)

    @property
    def is_healthy(self) -> bool:
        """Whether a reader looked for a lesion and there is none."""
        return self.has_lesion is False

    @property
    def answer(self) -> int:
        """Most probable subtype; `NO_ANSWER` where none was given."""
        if not self.subtype_probabilities:
            return NO_ANSWER
        return int(np.argmax(self.subtype_probabilities))


def compare(case: Case, prediction: Prediction, abilities: Abilities = EVERYTHING) -> CaseRow:
    """Compare one prediction with its case's reference labels.

    Raises:
        ValueError: If the case has no labels, or they lie on another grid.
    """
    reference = case.labels
    if reference is None:
        raise ValueError(f"case {case.case_id} has no reference labels")
    if not reference.geometry.is_same_as(prediction.labels.geometry):
        raise ValueError(f"case {case.case_id}: prediction and reference differ in geometry")
    has_lesion = _has_lesion(case, reference)
    return CaseRow(
        case_id=case.case_id,
        pancreas=_pancreas(case, reference, prediction, abilities),
        lesion=_lesion(reference, prediction) if has_lesion and _segments(abilities) else UNKNOWN,
        has_lesion=has_lesion,
        probability=_surest(prediction) if abilities.finds_lesions else nan,
        subtype=case.subtype if has_lesion else None,
        subtype_probabilities=prediction.subtype_probabilities,
        matches=_matches(reference, prediction)
        if abilities.finds_lesions and has_lesion is not None
        else (),
        seconds=sum(prediction.seconds.values()),
        memory_bytes=prediction.peak_memory_bytes,
    )


def _has_lesion(case: Case, reference: LabelMap) -> bool | None:
    if bool(_mask(reference, _LESION).any()):
        return True
    return False if _LESION in case.annotated else None


def _pancreas(
    case: Case, reference: LabelMap, prediction: Prediction, abilities: Abilities
) -> Agreement:
    wanted = reference.labels > 0
    is_known = _PANCREAS in case.annotated or bool(_mask(reference, _PANCREAS).any())
    if not is_known or _PANCREAS not in abilities.structures:
        return UNKNOWN
    return agreement(prediction.labels.labels > 0, wanted, reference.geometry.spacing_mm)


def _lesion(reference: LabelMap, prediction: Prediction) -> Agreement:
    found, wanted = _mask(prediction.labels, _LESION), _mask(reference, _LESION)
    return agreement(found, wanted, reference.geometry.spacing_mm)


def _segments(abilities: Abilities) -> bool:
    return _LESION in abilities.structures


def _mask(labels: LabelMap, structure: str) -> NDArray[np.bool_]:
    if structure not in labels.names.values():
        return np.zeros(labels.labels.shape, np.bool_)
    return labels.labels == labels.value_of(structure)


def _surest(prediction: Prediction) -> float:
    chances = [f.probability for f in prediction.findings if f.structure == _LESION]
    return max(chances, default=0.0)


def _matches(reference: LabelMap, prediction: Prediction) -> tuple[CaseDetections, ...]:
    known = _LESION in reference.names.values()
    lesions = [c.box_mm for c in find_components(reference, _LESION)] if known else []
    boxes = [(f.box_mm, f.probability) for f in prediction.findings if f.structure == _LESION]
    return tuple(match(boxes, lesions, hit_iou=overlap) for overlap in IOUS)
