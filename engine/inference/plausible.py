"""Drop what lies too far from the pancreas to belong to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.data.prepare import Prepared
from engine.inference.detect import Boxes
from engine.inference.outputs import Outputs

_FOREGROUND = 0.5
# ours: a thin neck may be lost between head and body, a lesion may hang on the tail
_REACH_MM = 20.0


def plausible(outputs: Outputs, prepared: Prepared) -> Outputs:
    """Return outputs without foreground and boxes too far from the largest piece of foreground.

    Where nothing was segmented there is nothing to judge by, and everything stays.

    Args:
        outputs: On the grid of `prepared`; the probabilities are changed in place.
        prepared: Gives the spacing.
    """
    if outputs.probabilities_KDHW is None:
        return outputs
    probabilities_KDHW = keep_one_organ(outputs.probabilities_KDHW, prepared)
    return Outputs(probabilities_KDHW, _near_organ(outputs.boxes, probabilities_KDHW, prepared))


def keep_one_organ(
    probabilities_KDHW: NDArray[np.float32], prepared: Prepared
) -> NDArray[np.float32]:
    """Turn foreground away from its largest piece into background.

    Args:
        probabilities_KDHW: On the grid of `prepared`, background first; changed in place.
        prepared: Gives the spacing.

    Returns:
        `probabilities_KDHW`.
    """
    mask = probabilities_KDHW[0] < 1.0 - _FOREGROUND
    pieces = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3, 3, 3)), output=pieces)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    if len(sizes) < 3:
        return probabilities_KDHW
    largest = pieces == sizes.argmax()
    distance_mm = np.asarray(ndimage.distance_transform_edt(~largest, sampling=prepared.spacing_mm))
    nearest_mm = ndimage.minimum(distance_mm, pieces, np.arange(len(sizes)))
    stray = np.isin(pieces, np.flatnonzero(np.asarray(nearest_mm) > _REACH_MM)) & mask
    probabilities_KDHW[:, stray] = 0.0
    probabilities_KDHW[0, stray] = 1.0
    return probabilities_KDHW


def _near_organ(boxes: Boxes, probabilities_KDHW: NDArray[np.float32], prepared: Prepared) -> Boxes:
    mask = probabilities_KDHW[0] < 1.0 - _FOREGROUND
    if not len(boxes) or not mask.any():
        return boxes
    reach = _REACH_MM / np.asarray(prepared.spacing_mm)
    near: list[bool] = []
    for corners in boxes.corners_N6:
        lower = np.maximum(np.floor(corners[:3] - reach), 0).astype(int)
        upper = np.ceil(corners[3:] + reach).astype(int)
        around = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
        near.append(bool(mask[around].any()))
    return boxes.kept(np.array(near))
