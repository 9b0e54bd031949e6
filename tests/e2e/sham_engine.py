"""An engine process that finds two spheres in the middle of any case, without a network."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine import worker
from engine.case import Case
from engine.finding import Box, Finding, Prediction
from engine.progress import OnProgress
from engine.registry import Registry
from engine.volume import LabelMap

_RADIUS_MM = 18.0
_NUM_STEPS = 8


def find_spheres(case: Case, on_progress: OnProgress) -> Prediction:
    geometry = case.volume.geometry
    middle = geometry.to_patient([[size / 2 for size in geometry.shape]])[0]
    indices = np.indices(geometry.shape).reshape(3, -1).T
    positions = geometry.to_patient(indices)
    labels = np.zeros(len(indices), np.uint8)
    for step in range(_NUM_STEPS):
        on_progress("analyse", step / _NUM_STEPS)
        time.sleep(float(os.environ.get("ISLET_SHAM_SECONDS", "0")) / _NUM_STEPS)
    labels[np.linalg.norm(positions - middle, axis=1) < 2.2 * _RADIUS_MM] = 1
    findings = []
    for number, shift in enumerate((-25.0, 25.0), start=1):
        centre = middle + np.array([shift, 0, 0])
        labels[np.linalg.norm(positions - centre, axis=1) < _RADIUS_MM] = 2
        findings.append(_finding(number, centre))
    label_map = LabelMap(labels.reshape(geometry.shape), {1: "pancreas", 2: "lesion"}, geometry)
    return Prediction(
        case.case_id, "starter", label_map, tuple(findings), (0.71, 0.2, 0.09), {"analyse": 1.0},
        "sham",
    )  # fmt: skip


def _finding(number: int, centre: np.ndarray) -> Finding:
    lower, upper = centre - _RADIUS_MM, centre + _RADIUS_MM
    return Finding(
        finding_id=f"lesion-{number}",
        structure="lesion",
        probability=0.97 / number,
        centre_mm=tuple(float(value) for value in centre),
        box_mm=Box(tuple(map(float, lower)), tuple(map(float, upper))),
        volume_mm3=4 / 3 * np.pi * _RADIUS_MM**3,
        longest_diameter_mm=2 * _RADIUS_MM,
        short_axis_mm=2 * _RADIUS_MM,
        mean_hu=61.0,
        sd_hu=14.0,
        subtype=0,
    )


HANDLERS: Registry[worker.Handler] = Registry("request")


@HANDLERS.register("hello")
def _hello(_request: Mapping[str, Any], link: worker.Link) -> None:
    link.send("ready", pid=os.getpid(), versions={"torch": "none"}, devices=["cpu"])


@HANDLERS.register("predict")
def _predict(request: Mapping[str, Any], link: worker.Link) -> None:
    worker.answer(request, link, find_spheres)


if __name__ == "__main__":
    worker.main(HANDLERS)
