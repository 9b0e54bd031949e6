"""findings.json and run.json: what a system found in a case, for other programs to read.

The schema is described in docs/findings.md. The engine process sends the same objects to
the window, so a file can hold nothing that the window does not show, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.case import Case
from engine.errors import IsletError
from engine.finding import Box, Finding, Prediction, Review
from engine.geometry import Geometry
from engine.interop.checked_json import Checked
from engine.volume import LabelMap

FINDINGS_SCHEMA = "islet.findings"
RUN_SCHEMA = "islet.run"
SCHEMA_VERSION = 1
NOTICE = "Research use only. Not a medical device: not for diagnosis or treatment."
UNITS = {
    "position": "mm, patient coordinates (x, y, z), LPS: +x left, +y posterior, +z superior",
    "length": "mm",
    "volume": "mm3, and mL where the name ends in _ml",
    "density": "HU",
    "probability": "0 to 1",
    "time": "s",
}

_MM3_PER_ML = 1000.0


class NewerSchemaError(IsletError):
    """A file was written by a later version of Islet."""

    def __init__(self, schema: str, version: int) -> None:
        super().__init__(
            f"The file follows version {version} of {schema}; this Islet knows version "
            f"{SCHEMA_VERSION}.",
            remedy="Update Islet, or write the file again with this version.",
        )


@dataclass(frozen=True, slots=True)
class Structure:
    """One value of the label map and how much of it there is."""

    label: int
    name: str
    volume_mm3: float


@dataclass(frozen=True, slots=True, eq=False)
class FindingsDocument:
    """What a findings.json says: a prediction without its voxels.

    Args:
        case_id: The case.
        system: Name of the system.
        weights_digest: SHA-256 of the weights file, hexadecimal.
        geometry: The grid of the scan and of the label map.
        structures: What the label values mean.
        findings: Most probable first.
        subtype_probabilities: Of the case, by subtype; empty where there is none.
        remarks: What was noticed while the scan was read.
    """

    case_id: str
    system: str
    weights_digest: str
    geometry: Geometry
    structures: tuple[Structure, ...]
    findings: tuple[Finding, ...]
    subtype_probabilities: tuple[float, ...]
    remarks: tuple[str, ...]

    @property
    def label_names(self) -> dict[int, str]:
        """Label value to structure name."""
        return {structure.label: structure.name for structure in self.structures}


def prediction_to_json(prediction: Prediction, case: Case) -> dict[str, Any]:
    """Return the findings.json of a prediction; nothing in it names the patient.

    Args:
        prediction: What the system found.
        case: The case it looked at; gives the remarks.
    """
    return {
        "schema": FINDINGS_SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "units": UNITS,
        "case_id": prediction.case_id,
        "system": prediction.system,
        "weights_sha256": prediction.weights_digest,
        "remarks": [remark.message for remark in case.volume.remarks],
        "geometry": _geometry_to_json(prediction.labels.geometry),
        "structures": _structures_to_json(prediction.labels),
        "subtype_probabilities": list(prediction.subtype_probabilities),
        "findings": [_finding_to_json(finding) for finding in prediction.findings],
    }


def run_to_json(prediction: Prediction) -> dict[str, Any]:
    """Return the run.json of a prediction: how it came about, and what it cost."""
    return {
        "schema": RUN_SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "case_id": prediction.case_id,
        "system": prediction.system,
        "weights_sha256": prediction.weights_digest,
        "device": prediction.device,
        "precision": prediction.precision,
        "route": prediction.route,
        "stage_seconds": dict(prediction.seconds),
        "total_seconds": sum(prediction.seconds.values()),
        "peak_memory_bytes": prediction.peak_memory_bytes,
    }


def findings_from_json(document: Mapping[str, Any]) -> FindingsDocument:
    """Return what a findings.json says.

    Raises:
        DamagedJsonError: If a field is missing or is not what the schema says.
        NewerSchemaError: If a later version of Islet wrote it.
    """
    top = _open(document, FINDINGS_SCHEMA)
    return FindingsDocument(
        case_id=top.text("case_id"),
        system=top.text("system"),
        weights_digest=top.text("weights_sha256"),
        geometry=_geometry_from_json(top.section("geometry")),
        structures=tuple(
            Structure(item.whole("label"), item.text("name"), item.number("volume_mm3"))
            for item in top.sections("structures")
        ),
        findings=tuple(_finding_from_json(item) for item in top.sections("findings")),
        subtype_probabilities=top.numbers("subtype_probabilities"),
        remarks=top.texts("remarks"),
    )


def prediction_from_json(
    findings: Mapping[str, Any], run: Mapping[str, Any], labels: LabelMap
) -> Prediction:
    """Put a prediction together again from its two documents and its label map.

    Raises:
        DamagedJsonError: If a field is missing or is not what the schema says.
        NewerSchemaError: If a later version of Islet wrote it.
    """
    said = findings_from_json(findings)
    cost = _open(run, RUN_SCHEMA)
    return Prediction(
        case_id=said.case_id,
        system=said.system,
        labels=labels,
        findings=said.findings,
        subtype_probabilities=said.subtype_probabilities,
        seconds=cost.numbers_by_name("stage_seconds"),
        weights_digest=said.weights_digest,
        device=cost.text("device"),
        precision=cost.text("precision"),
        route=cost.text("route"),
        peak_memory_bytes=cost.whole("peak_memory_bytes"),
    )


def _open(document: Mapping[str, Any], schema: str) -> Checked:
    top = Checked(document, schema)
    top.choice("schema", (schema,))
    version = top.whole("schema_version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(schema, version)
    return top


def _geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    return {
        "shape": list(geometry.shape),
        "spacing_mm": list(geometry.spacing_mm),
        "affine": geometry.affine.tolist(),
    }


def _geometry_from_json(item: Checked) -> Geometry:
    slices, rows, columns = item.triple("shape")
    return Geometry(
        shape=(int(slices), int(rows), int(columns)), affine=np.asarray(item.affine("affine"))
    )


def _structures_to_json(labels: LabelMap) -> list[dict[str, Any]]:
    counts = np.bincount(labels.labels.reshape(-1), minlength=256)
    volumes_mm3 = counts * labels.geometry.voxel_volume_mm3
    return [
        {
            "label": value,
            "name": name,
            "volume_mm3": float(volumes_mm3[value]),
            "volume_ml": float(volumes_mm3[value]) / _MM3_PER_ML,
        }
        for value, name in labels.names.items()
    ]


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.finding_id,
        "structure": finding.structure,
        "probability": finding.probability,
        "centre_mm": list(finding.centre_mm),
        "box_mm": {
            "lower": list(finding.box_mm.lower_mm),
            "upper": list(finding.box_mm.upper_mm),
        },
        "outlined": finding.is_outlined,
        "volume_mm3": finding.volume_mm3,
        "volume_ml": finding.volume_mm3 / _MM3_PER_ML,
        "longest_diameter_mm": finding.longest_diameter_mm,
        "short_axis_mm": finding.short_axis_mm,
        "mean_hu": finding.mean_hu,
        "sd_hu": finding.sd_hu,
        "subtype": finding.subtype,
        "review": {"state": finding.review.value, "reason": finding.reason},
    }


def _finding_from_json(item: Checked) -> Finding:
    box = item.section("box_mm")
    review = item.section("review")
    return Finding(
        finding_id=item.text("id"),
        structure=item.text("structure"),
        probability=item.number("probability", lowest=0.0, highest=1.0),
        centre_mm=item.triple("centre_mm"),
        box_mm=Box(lower_mm=box.triple("lower"), upper_mm=box.triple("upper")),
        volume_mm3=item.number("volume_mm3", lowest=0.0),
        longest_diameter_mm=item.number("longest_diameter_mm", lowest=0.0),
        short_axis_mm=item.number("short_axis_mm", lowest=0.0),
        mean_hu=item.number("mean_hu"),
        sd_hu=item.number("sd_hu", lowest=0.0),
        subtype=item.whole_or_none("subtype"),
        review=Review(review.choice("state", tuple(state.value for state in Review))),
        reason=review.text("reason"),
    )
