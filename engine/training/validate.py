"""Score a network on the cases that were held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import torch

from engine.data.store import StoredCase
from engine.evaluation.detection import CaseDetections, average_precision, match
from engine.evaluation.segmentation import dice
from engine.finding import Box
from engine.inference.outputs import infer_case
from engine.inference.region import span_around
from engine.networks.build import MultitaskNetwork
from engine.progress import OnProgress, ignore_progress
from engine.run import Plan
from engine.system import System
from engine.training.picture import Sight, draw
from engine.training.sample import lesion_boxes

# ours: enough to see a trend; the evaluation afterwards takes every case.
_NUM_CASES = 8
_NUM_PICTURES = 4
_LESION = "lesion"
_SURE = 0.5  # ours: less sure boxes are not drawn


class Validator:
    """Scores a network on some held-back cases, and draws a few of them.

    Cases are cropped to the labelled organ and the margin that inference would leave around it.

    Args:
        plan: Says how the network is applied.
        cases: Held back; at most eight of them, evenly spread over the subtypes.
        picture_path: Says where pictures of an epoch go; None where nobody looks.
        on_picture: Told (epoch, file).
        on_progress: Told the stage "validate".
    """

    def __init__(
        self,
        plan: Plan,
        cases: Sequence[StoredCase],
        *,
        picture_path: Callable[[int], Path | None] = lambda _: None,
        on_picture: Callable[[int, Path], None] = lambda *_: None,
        on_progress: OnProgress = ignore_progress,
    ) -> None:
        self._plan = plan
        self._cases = _spread(cases)
        self._picture_path = picture_path
        self._on_picture = on_picture
        self._on_progress = on_progress

    def __call__(self, network: MultitaskNetwork, epoch: int) -> dict[str, float]:
        """Return what the system's heads can be scored by.

        "dice NAME" of every structure, lesions counted as part of the pancreas, and "AP lesion":
        average precision of the boxes at an overlap of 0.1.
        """
        dices: dict[str, list[float]] = {name: [] for name in self._plan.system.structures}
        detections: list[CaseDetections] = []
        sights: list[Sight] = []
        for number, stored in enumerate(self._cases):
            self._on_progress("validate", number / len(self._cases))
            case = crop_to_region(stored, self._plan.system)
            sight, boxes = self._look(network, case)
            for name, score in sight.scores.items():
                dices[name].append(score)
            if boxes is not None:
                detections.append(boxes)
            sights.append(sight)
        self._on_progress("validate", 1.0)
        self._draw(epoch, sights[:_NUM_PICTURES])
        scores = {f"dice {name}": float(np.mean(all_)) for name, all_ in dices.items() if all_}
        precision = average_precision(detections)
        return scores if isnan(precision) else {**scores, "AP lesion": precision}

    def _look(
        self, network: MultitaskNetwork, case: StoredCase
    ) -> tuple[Sight, CaseDetections | None]:
        system = self._plan.system
        image = np.asarray(case.image[:], dtype=np.float32)
        reference = np.asarray(case.labels[:])
        outputs = infer_case(
            network,
            system,
            image,
            device=torch.device(self._plan.device),
            precision=self._plan.precision,
        )
        scores: dict[str, float] = {}
        predicted = np.zeros_like(reference)
        if outputs.probabilities_KDHW is not None:
            predicted = outputs.probabilities_KDHW.argmax(axis=0).astype(np.uint8)
            scores = _scores(predicted, reference, system.structures)
        title = " ".join([case.case_id, *(f"{name} {s:.2f}" for name, s in scores.items())])
        sure = outputs.boxes.corners_N6[outputs.boxes.probabilities_N >= _SURE]
        sight = Sight(title, image, reference, predicted, self._plan.spacing_mm, scores, sure)
        if "detection" not in system.head_names or _LESION not in system.structures:
            return sight, None
        value = system.structures.index(_LESION) + 1
        if not case.annotated[value - 1]:
            # Where nobody looked for lesions, no box is known to be false.
            return sight, None
        wanted = [_box(corners) for corners in lesion_boxes(reference == value).numpy()]
        found = zip(outputs.boxes.corners_N6, outputs.boxes.probabilities_N, strict=True)
        return sight, match([(_box(corners), float(p)) for corners, p in found], wanted)

    def _draw(self, epoch: int, sights: list[Sight]) -> None:
        path = self._picture_path(epoch)
        if path is not None and sights:
            draw(sights, path)
            self._on_picture(epoch, path)


def _box(corners_6: np.ndarray) -> Box:
    # Voxels in place of mm: an overlap of two boxes has no unit.
    low, high = corners_6[:3].tolist(), corners_6[3:].tolist()
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def crop_to_region(case: StoredCase, system: System) -> StoredCase:
    """Crop a case to the labelled organ and the margin around a localised one.

    As in inference, nowhere smaller than a window. Without a margin in the system, or without
    labels, the case is returned whole.
    """
    margin_mm = system.inference.region_margin_mm
    labels = np.asarray(case.labels[:])
    found = np.nonzero(labels)
    if margin_mm is None or not len(found[0]):
        return case
    inner: list[slice] = []
    for indices, margin, spacing, window, num in zip(
        found,
        margin_mm,
        system.preparation.spacing_mm,
        system.inference.patch_shape,
        labels.shape,
        strict=True,
    ):
        start, stop = span_around(
            int(indices.min()),
            int(indices.max()) + 1,
            margin=round(margin / spacing),
            window=window,
            size=num,
        )
        inner.append(slice(start, stop))
    box = tuple(inner)
    return replace(case, image=case.image[box], labels=labels[box])


def _spread(cases: Sequence[StoredCase]) -> tuple[StoredCase, ...]:
    by_subtype = sorted(cases, key=lambda case: -1 if case.subtype is None else case.subtype)
    if len(by_subtype) <= _NUM_CASES:
        return tuple(by_subtype)
    # Lesions last, so that the pictures show them: the order is turned around.
    picked = np.linspace(len(by_subtype) - 1, 0, _NUM_CASES).round().astype(int)
    return tuple(by_subtype[int(number)] for number in picked)


def _scores(
    predicted: np.ndarray, reference: np.ndarray, structures: tuple[str, ...]
) -> dict[str, float]:
    scores: dict[str, float] = {}
    for value, name in enumerate(structures, start=1):
        wanted = reference >= value
        # A case without the structure has no Dice; false lesions show in the evaluation.
        if wanted.any():
            score = dice(predicted >= value, wanted)
            if not isnan(score):
                scores[name] = score
    return scores
