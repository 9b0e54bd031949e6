"""Score a network on the cases that were held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import torch

from engine.data.store import StoredCase
from engine.evaluation.segmentation import dice
from engine.inference.sliding_window import infer
from engine.networks.build import MultitaskNetwork
from engine.progress import OnProgress, ignore_progress
from engine.run import Plan
from engine.system import System
from engine.training.picture import Sight, draw

# ours: enough to see a trend; the evaluation afterwards takes every case.
_NUM_CASES = 8
_NUM_PICTURES = 4


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
        """Return "dice NAME" of every structure, lesions counted as part of the pancreas."""
        structures = self._plan.system.structures
        found: dict[str, list[float]] = {name: [] for name in structures}
        sights: list[Sight] = []
        for number, stored in enumerate(self._cases):
            self._on_progress("validate", number / len(self._cases))
            case = crop_to_region(stored, self._plan.system)
            image = np.asarray(case.image[:], dtype=np.float32)
            reference = np.asarray(case.labels[:])
            predicted = self._predict(network, image)
            scores = _scores(predicted, reference, structures)
            for name, score in scores.items():
                found[name].append(score)
            if len(sights) < _NUM_PICTURES:
                title = " ".join([stored.case_id, *(f"{n} {s:.2f}" for n, s in scores.items())])
                sights.append(Sight(title, image, reference, predicted, self._plan.spacing_mm))
        self._on_progress("validate", 1.0)
        self._draw(epoch, sights)
        return {f"dice {name}": float(np.mean(all_)) for name, all_ in found.items() if all_}

    def _predict(self, network: MultitaskNetwork, image: np.ndarray) -> np.ndarray:
        settings = self._plan.system.inference
        probabilities = infer(
            network,
            image,
            patch_shape=settings.patch_shape,
            step=settings.step,
            device=torch.device(self._plan.device),
            precision=self._plan.precision,
        )
        return probabilities.argmax(axis=0).astype(np.uint8)

    def _draw(self, epoch: int, sights: list[Sight]) -> None:
        path = self._picture_path(epoch)
        if path is not None and sights:
            draw(sights, path)
            self._on_picture(epoch, path)


def crop_to_region(case: StoredCase, system: System) -> StoredCase:
    """Crop a case to the labelled organ and the margin around a localised one.

    Without a margin in the system, or without labels, the case is returned whole.
    """
    margin_mm = system.inference.region_margin_mm
    labels = np.asarray(case.labels[:])
    found = np.nonzero(labels)
    if margin_mm is None or not len(found[0]):
        return case
    inner: list[slice] = []
    for indices, margin, spacing in zip(
        found, margin_mm, system.preparation.spacing_mm, strict=True
    ):
        extra = round(margin / spacing)
        inner.append(slice(max(0, int(indices.min()) - extra), int(indices.max()) + extra + 1))
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
