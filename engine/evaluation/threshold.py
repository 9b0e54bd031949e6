"""How far a HU threshold alone would come: what a data set must be harder than."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.case import Case
from engine.evaluation.classification import confusion_matrix, macro_f1

_EDGES_HU = np.arange(-200.0, 402.0, 4.0)
_NEIGHBOURHOOD_MM = 10.0
_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True, eq=False)
class DensityProfile:
    """What a threshold could know of one lesion case.

    Args:
        near: Voxels within 10 mm of the true pancreas, by bin of 4 HU from -200.
        lesion: Lesion voxels, by the same bins.
        mean_hu: Of the true lesion.
        volume_ml: Of the true lesion.
        subtype: True subtype.
    """

    near: NDArray[np.int64]
    lesion: NDArray[np.int64]
    mean_hu: float
    volume_ml: float
    subtype: int


def profile(case: Case) -> DensityProfile:
    """Count the densities of a case with a lesion, lightly smoothed against noise.

    Raises:
        ValueError: If the case has no labels or no subtype.
    """
    if case.labels is None or case.subtype is None:
        raise ValueError("only a labelled lesion case has a profile")
    spacing = case.volume.geometry.spacing_mm
    labels = case.labels.labels
    lesion = labels == case.labels.value_of("lesion")
    distance_mm = np.asarray(ndimage.distance_transform_edt(labels == 0, sampling=spacing))
    smooth = ndimage.gaussian_filter(case.volume.voxels_hu.astype(np.float32), 0.6)
    clipped = np.clip(smooth, _EDGES_HU[0], _EDGES_HU[-1])
    near = distance_mm <= _NEIGHBOURHOOD_MM
    return DensityProfile(
        near=np.histogram(clipped[near], _EDGES_HU)[0],
        lesion=np.histogram(clipped[lesion], _EDGES_HU)[0],
        mean_hu=float(case.volume.voxels_hu[lesion].mean()),
        volume_ml=case.labels.volume_mm3("lesion") / 1000,
        subtype=case.subtype,
    )


def best_threshold_dice(profiles: list[DensityProfile]) -> tuple[float, tuple[float, float]]:
    """Return the mean lesion Dice of the best HU interval, and the interval.

    The interval is fitted to the very cases it is scored on, and is told where the pancreas
    is: no threshold can do better.
    """
    near = np.stack([np.concatenate([[0], np.cumsum(p.near)]) for p in profiles])
    lesion = np.stack([np.concatenate([[0], np.cumsum(p.lesion)]) for p in profiles])
    best, interval = 0.0, (0.0, 0.0)
    for low in range(len(_EDGES_HU)):
        hits = lesion[:, low + 1 :] - lesion[:, low : low + 1]
        sizes = near[:, low + 1 :] - near[:, low : low + 1] + lesion[:, -1:]
        scores = (2 * hits / np.maximum(sizes, 1)).mean(axis=0)
        if scores.size and scores.max() > best:
            best = float(scores.max())
            high = low + 1 + int(scores.argmax())
            interval = (float(_EDGES_HU[low]), float(_EDGES_HU[high]))
    return best, interval


def density_macro_f1(profiles: list[DensityProfile]) -> float:
    """Return the macro-F1 of subtypes told from the true lesion's mean HU and size.

    Five nearest neighbours, every case left out in turn.
    """
    features = np.array([[p.mean_hu, np.log(p.volume_ml)] for p in profiles])
    features = (features - features.mean(0)) / features.std(0)
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    truth = [p.subtype for p in profiles]
    num_subtypes = max(truth) + 1
    votes = np.array(truth)[np.argsort(distance, axis=1)[:, :_NEIGHBOURS]]
    answers = [int(np.bincount(row, minlength=num_subtypes).argmax()) for row in votes]
    return macro_f1(confusion_matrix(truth, answers, num_subtypes))
