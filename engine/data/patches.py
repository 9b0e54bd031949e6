"""Choose training patches so that small structures are seen often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.data.chunked import ChunkedArray
from engine.data.store import StoredCase

ScalarT = TypeVar("ScalarT", bound=np.generic)
Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]


def draw_patch(
    cases: Sequence[StoredCase],
    patch_shape: tuple[int, int, int],
    foreground_share: float,
    rng: np.random.Generator,
) -> Patch:
    """Cut a random patch from a random case, as `draw_patch_of` does."""
    case = cases[int(rng.integers(len(cases)))]
    return draw_patch_of(case, patch_shape, foreground_share, rng)


def draw_patch_of(
    case: StoredCase,
    patch_shape: tuple[int, int, int],
    foreground_share: float,
    rng: np.random.Generator,
    *,
    wanted: int | None = None,
) -> Patch:
    """Cut a random patch from a case, reading no more of it than that.

    With probability `foreground_share` its centre lies near a labelled voxel; every structure
    of the case is then equally likely to be the centre's, however small it is.

    Args:
        case: Where from.
        patch_shape: (slices, rows, columns).
        foreground_share: 0 to 1.
        rng: Of every choice.
        wanted: Label value whose voxels every patch shows, where the case has some.

    Returns:
        Image (D, H, W) float32 and labels (D, H, W) uint8 of `patch_shape`; beyond the
        volume the image is 0, the mean density, and the labels are background.
    """
    shape = np.array(case.image.shape)
    size = np.array(patch_shape)
    positions = _positions_to_show(case, foreground_share, rng, wanted)
    if positions is None:
        centre = rng.integers(shape)
    else:
        centre = positions[int(rng.integers(len(positions)))]
        # Off-centre by up to a quarter patch, or the network learns that lesions sit in the middle.
        centre = centre + rng.integers(-size // 4, size // 4 + 1)
    start = window_start(centre, shape, size)
    image = cut(case.image, start, patch_shape).astype(np.float32)
    return image, cut(case.labels, start, patch_shape)


def _positions_to_show(
    case: StoredCase, foreground_share: float, rng: np.random.Generator, wanted: int | None
) -> NDArray[np.int32] | None:
    if wanted is not None and len(case.positions[wanted - 1]):
        return case.positions[wanted - 1]
    present = [positions for positions in case.positions if len(positions)]
    if present and rng.random() < foreground_share:
        return present[int(rng.integers(len(present)))]
    return None


def window_start(
    centre: NDArray[np.int_], shape: NDArray[np.int_], size: NDArray[np.int_]
) -> NDArray[np.int_]:
    """Return where a window around `centre` begins: inside the volume where it fits in.

    Args:
        centre: (3,) voxel index.
        shape: (3,) of the volume.
        size: (3,) of the window; where it is larger, the volume lies in its middle.
    """
    inside = np.clip(centre - size // 2, 0, np.maximum(shape - size, 0))
    return np.where(shape > size, inside, (shape - size) // 2)


def cut(
    array: NDArray[ScalarT] | ChunkedArray[ScalarT],
    start: NDArray[np.int_],
    size: tuple[int, int, int],
) -> NDArray[ScalarT]:
    """Cut a window that begins at voxel `start`, which may lie outside the array.

    Beyond the array the window is 0: the mean density, which inference pads with too, and
    the background.
    """
    window = np.zeros(size, array.dtype)
    inner = tuple(
        slice(max(0, int(a)), min(n, int(a) + b))
        for a, b, n in zip(start, size, array.shape, strict=True)
    )
    placed = tuple(
        slice(i.start - int(a), i.stop - int(a)) for i, a in zip(inner, start, strict=True)
    )
    window[placed] = array[inner]
    return window
