"""Choose training patches so that small structures are seen often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.data.store import StoredCase

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]


def draw_patch(
    cases: Sequence[StoredCase],
    patch_shape: tuple[int, int, int],
    foreground_share: float,
    rng: np.random.Generator,
) -> Patch:
    """Cut a random patch from a random case.

    With probability `foreground_share` its centre lies near a labelled voxel; every structure
    of the case is then equally likely to be the centre's, however small it is.

    Returns:
        Image (D, H, W) float32 and labels (D, H, W) uint8 of `patch_shape`; beyond the
        volume the image is 0, the mean density, and the labels are background.
    """
    case = cases[int(rng.integers(len(cases)))]
    shape = np.array(case.image.shape)
    size = np.array(patch_shape)
    present = [positions for positions in case.positions if len(positions)]
    if present and rng.random() < foreground_share:
        positions = present[int(rng.integers(len(present)))]
        centre = positions[int(rng.integers(len(positions)))]
        # Off-centre by up to a quarter patch, or the network learns that lesions sit in the middle.
        centre = centre + rng.integers(-size // 4, size // 4 + 1)
    else:
        centre = rng.integers(shape)
    start = np.where(
        shape > size, np.clip(centre - size // 2, 0, shape - size), (shape - size) // 2
    )
    return cut(case, start, patch_shape)


def cut(case: StoredCase, start: NDArray[np.int_], patch_shape: tuple[int, int, int]) -> Patch:
    """Cut a patch that begins at voxel `start`, which may lie outside the volume."""
    stop = start + np.array(patch_shape)
    inner = tuple(
        slice(max(0, int(a)), min(n, int(b)))
        for a, b, n in zip(start, stop, case.image.shape, strict=True)
    )
    before = np.maximum(-start, 0)
    after = np.maximum(stop - np.array(case.image.shape), 0)
    margins = list(zip(before, after, strict=True))
    image = case.image[inner].astype(np.float32)
    # Zero is the mean density, which inference pads with too.
    return np.pad(image, margins), np.pad(case.labels[inner], margins)
