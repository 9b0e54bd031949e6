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
from engine.geometry import Geometry
from engine.progress import OnProgress
from engine.registry import Registry
from engine.volume import LabelMap

_RADIUS_MM = 18.0
_NUM_STEPS = 8


def find_spheres(case: Case, on_progress: OnProgress) -> Prediction:
    for step in range(_NUM_STEPS):
        on_progress("analyse", step / _NUM_STEPS)
        time.sleep(float(os.environ.get("ISLET_SHAM_SECONDS", "0")) / _NUM_STEPS)
    geometry = case.volume.geometry
    middle = geometry.to_patient([[size / 2 for size in geometry.shape]])[0]
    labels = np.zeros(geometry.shape, np.uint8)
    centres = [middle + np.array([shift, 0, 0]) for shift in (-25.0, 25.0)]
    _fill_sphere(labels, geometry, middle, 2.2 * _RADIUS_MM, 1)
    for centre in centres:
        _fill_sphere(labels, geometry, centre, _RADIUS_MM, 2)
    return Prediction(
        case_id=case.case_id,
        system="starter",
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, geometry),
        findings=tuple(_finding(number, centre) for number, centre in enumerate(centres, start=1)),
        subtype_probabilities=(0.71, 0.2, 0.09),
        seconds={"analyse": 1.0},
        weights_digest="sham",
    )


def _fill_sphere(
    labels: np.ndarray, geometry: Geometry, centre: np.ndarray, radius_mm: float, value: int
) -> None:
    # Only the surroundings: every voxel of a large CT would take a gigabyte.
    middle = geometry.to_index(centre[None])[0]
    reach = radius_mm / np.array(geometry.spacing_mm) + 1
    lower = np.maximum(np.floor(middle - reach), 0).astype(int)
    upper = np.minimum(np.ceil(middle + reach), geometry.shape).astype(int)
    around = np.stack(np.meshgrid(*map(np.arange, lower, upper), indexing="ij"), axis=-1)
    inside = np.linalg.norm(geometry.to_patient(around.reshape(-1, 3)) - centre, axis=1) < radius_mm
    labels[tuple(map(slice, lower, upper))][inside.reshape(around.shape[:3])] = value


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
