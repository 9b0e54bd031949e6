"""Keeps readers' decisions on disk, so that a case opened again shows them."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.finding import Finding, Prediction, Review

log = logging.getLogger(__name__)

_SCHEMA = 1
# ours: a lesion found again by the same weights on another device moves less than this
_SAME_PLACE_MM = 3.0


class ReviewFiles:
    """One JSON file per case, named by a digest of the case id; it holds no patient's name.

    Positions are (x, y, z) LPS in mm. Decisions are kept per system and weights; those for
    other weights stay in the file untouched.

    Args:
        folder: Where the files are; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, prediction: Prediction, findings: tuple[Finding, ...]) -> None:
        """Write the decisions about `findings`; the file is whole at any moment."""
        reviews = self._load(prediction.case_id)
        # A decision about something this prediction does not hold is kept all the same.
        others = [entry for entry in reviews.get(_key(prediction), []) if not _any(entry, findings)]
        decided = [_to_json(finding) for finding in findings if finding.review != Review.PROPOSED]
        reviews[_key(prediction)] = others + decided
        content = {"schema": _SCHEMA, "case_id": prediction.case_id, "reviews": reviews}
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(prediction.case_id)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        # Renaming is atomic: a crash leaves the old file or the new one, never half of one.
        partial.replace(path)

    def restore(self, prediction: Prediction) -> tuple[Finding, ...]:
        """Return the prediction's findings with the decisions made about them before."""
        known = self._load(prediction.case_id).get(_key(prediction), [])
        return tuple(_reviewed(finding, known) for finding in prediction.findings)

    def _path(self, case_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(case_id.encode()).hexdigest()[:32]}.json"

    def _load(self, case_id: str) -> dict[str, list[dict[str, Any]]]:
        path = self._path(case_id)
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Set aside, not overwritten: a person may still save what is in it.
            log.warning("The decisions about %s cannot be read; they were set aside", case_id)
            path.replace(path.with_suffix(".broken"))
            return {}
        return content["reviews"] if content.get("schema") == _SCHEMA else {}


def _key(prediction: Prediction) -> str:
    return f"{prediction.system}@{prediction.weights_digest}"


def _to_json(finding: Finding) -> dict[str, Any]:
    return {
        "finding_id": finding.finding_id,
        "structure": finding.structure,
        "centre_mm": list(finding.centre_mm),
        "review": finding.review.value,
        "reason": finding.reason,
    }


def _any(entry: dict[str, Any], findings: tuple[Finding, ...]) -> bool:
    return any(_is_about(entry, finding) for finding in findings)


def _is_about(entry: dict[str, Any], finding: Finding) -> bool:
    shift = np.subtract(entry["centre_mm"], finding.centre_mm)
    is_near = bool(np.linalg.norm(shift) < _SAME_PLACE_MM)
    return entry["structure"] == finding.structure and is_near


def _reviewed(finding: Finding, known: list[dict[str, Any]]) -> Finding:
    for entry in known:
        if _is_about(entry, finding):
            return replace(finding, review=Review(entry["review"]), reason=entry["reason"])
    return finding
