"""Compared cases as plain values and back, so that folds can be pooled from their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

from engine.errors import IsletError
from engine.evaluation.compare import Abilities, CaseRow
from engine.evaluation.detection import Candidate, CaseDetections
from engine.evaluation.evaluate import Evaluation, summarise
from engine.evaluation.segmentation import Agreement


class DamagedEvaluationError(IsletError):
    """An evaluation.json that is none, or was written by another version."""

    def __init__(self) -> None:
        super().__init__(
            "The evaluation file is damaged or of another version.",
            remedy="Delete it and evaluate the run again.",
        )


def row_to_json(row: CaseRow) -> dict[str, Any]:
    """Return one case as plain values; what is not known is None."""
    return {
        "case_id": row.case_id,
        **_agreement_to_json("pancreas", row.pancreas),
        **_agreement_to_json("lesion", row.lesion),
        "has_lesion": row.has_lesion,
        "lesion_probability": number(row.probability),
        "subtype": row.subtype,
        "answer": row.answer if row.answer >= 0 else None,
        "subtype_probabilities": list(row.subtype_probabilities),
        "num_lesions": row.detections.num_lesions if row.matches else None,
        "num_found": row.detections.num_hits if row.matches else None,
        "num_false": row.detections.num_false if row.matches else None,
        "seconds": number(row.seconds),
        "memory_bytes": row.memory_bytes,
        "boxes": _boxes_to_json(row.matches),
    }


def evaluation_from_json(value: object, *, seed: int = 0) -> Evaluation:
    """Return the evaluation that `table.to_json` wrote.

    Raises:
        DamagedEvaluationError: If it is not one.
    """
    if not isinstance(value, Mapping):
        raise DamagedEvaluationError
    try:
        asked = value["abilities"]
        abilities = Abilities(
            tuple(asked["structures"]), bool(asked["finds_lesions"]), tuple(asked["subtypes"])
        )
        rows = [_row_from_json(row) for row in value["cases"]]
        system, digest = str(value["system"]), str(value["weights_digest"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DamagedEvaluationError from error
    return summarise(system, digest, rows, abilities=abilities, seed=seed)


def number(value: float) -> float | None:
    """Return `value`, or None for NaN, which JSON cannot say."""
    return None if isnan(value) else value


def _row_from_json(value: Mapping[str, Any]) -> CaseRow:
    has_lesion, subtype = value["has_lesion"], value["subtype"]
    return CaseRow(
        case_id=str(value["case_id"]),
        pancreas=_agreement_from_json("pancreas", value),
        lesion=_agreement_from_json("lesion", value),
        has_lesion=None if has_lesion is None else bool(has_lesion),
        probability=_or_nan(value["lesion_probability"]),
        subtype=None if subtype is None else int(subtype),
        subtype_probabilities=tuple(float(chance) for chance in value["subtype_probabilities"]),
        matches=_boxes_from_json(value["boxes"], value["num_lesions"]),
        seconds=_or_nan(value["seconds"]),
        memory_bytes=int(value["memory_bytes"]),
    )


def _agreement_to_json(structure: str, agreed: Agreement) -> dict[str, float | None]:
    return {
        f"{structure}_dice": number(agreed.dice),
        f"{structure}_nsd": number(agreed.nsd),
        f"{structure}_hd95_mm": number(agreed.hd95_mm),
    }


def _agreement_from_json(structure: str, value: Mapping[str, Any]) -> Agreement:
    names = (f"{structure}_dice", f"{structure}_nsd", f"{structure}_hd95_mm")
    dice, nsd, hd95_mm = (_or_nan(value[name]) for name in names)
    return Agreement(dice, nsd, hd95_mm)


def _boxes_to_json(matches: Sequence[CaseDetections]) -> dict[str, Any] | None:
    if not matches:
        return None
    return {
        "probabilities": [candidate.probability for candidate in matches[0].candidates],
        "hits": [[candidate.is_hit for candidate in each.candidates] for each in matches],
    }


def _boxes_from_json(
    value: Mapping[str, Any] | None, num_lesions: int | None
) -> tuple[CaseDetections, ...]:
    if value is None or num_lesions is None:
        return ()
    chances = [float(chance) for chance in value["probabilities"]]
    return tuple(
        CaseDetections(
            tuple(Candidate(p, bool(hit)) for p, hit in zip(chances, hits, strict=True)),
            int(num_lesions),
        )
        for hits in value["hits"]
    )


def _or_nan(value: float | None) -> float:
    return nan if value is None else float(value)
