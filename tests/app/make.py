"""Small values for tests of the window."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.case import Case
from engine.data.source import Source
from engine.finding import Box, Finding, Prediction
from engine.geometry import from_spacing
from engine.volume import LabelMap, Remark, Volume

GEOMETRY = from_spacing((4, 6, 8), (3.0, 1.0, 1.0), (-4.0, -3.0, 100.0))
NAMES = {1: "pancreas", 2: "lesion"}


def make_case(
    case_id: str = "a", *, with_labels: bool = False, remarks: tuple[Remark, ...] = ()
) -> Case:
    volume = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY, remarks)
    return Case(case_id, volume, labels=make_labels() if with_labels else None)


def make_labels() -> LabelMap:
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[1:3, 2:4, 2:6] = 1
    labels[2, 3, 3] = 2
    return LabelMap(labels, NAMES, GEOMETRY)


def make_finding(number: int = 1) -> Finding:
    return Finding(
        finding_id=f"lesion-{number}",
        structure="lesion",
        probability=0.9 / number,
        centre_mm=(10.0 * number, 1.0, 103.0),
        box_mm=Box((0.0, 0.0, 100.0), (2.0, 2.0, 106.0)),
        volume_mm3=12_345.0,
        longest_diameter_mm=31.2,
        short_axis_mm=24.4,
        mean_hu=54.6,
        sd_hu=17.8,
    )


def make_prediction(case_id: str = "a", *, num_findings: int = 2, digest: str = "00") -> Prediction:
    findings = tuple(make_finding(number) for number in range(1, num_findings + 1))
    return Prediction(case_id, "starter", make_labels(), findings, (0.7, 0.2, 0.1), {}, digest)


def make_source(title: str = "Venous", *, kind: str = "ct", num_slices: int = 100) -> Source:
    return Source(Path("/somewhere"), title, kind, "CT", num_slices, 2.5)
