"""Resample slices that slide against each other, or lie unevenly, to a right-angled even grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.geometry import Geometry

# Ours: wider than this many steps there is nothing to interpolate between, only a gap.
_WIDEST_BRIDGE = 1.75


@dataclass(frozen=True, slots=True, eq=False)
class Aligner:
    """Moves slices within their plane onto one common, larger rectangle.

    Args:
        geometry: The grid before; slices in it are shifted.
        shift_px: (n, 2) shift of each slice along (rows, columns), in pixels.
    """

    geometry: Geometry
    shift_px: NDArray[np.float64]

    @property
    def aligned(self) -> Geometry:
        """The right-angled grid, wide enough that no slice is cropped."""
        before, after = self._margins()
        slices, rows, columns = self.geometry.shape
        affine = self.geometry.affine.copy()
        affine[:3, 3] = self.geometry.to_patient([[0.0, -before[0], -before[1]]])[0]
        shape = (slices, rows + before[0] + after[0], columns + before[1] + after[1])
        return Geometry(shape=shape, affine=affine)

    def align(self, picture: NDArray[np.float32], place: int, fill: float) -> NDArray[np.float32]:
        """Return slice number `place`, (rows, columns), on the aligned rectangle."""
        before, after = self._margins()
        pads = tuple(zip(before, after, strict=True))
        wide = np.pad(picture, pads, constant_values=fill)
        shift = self.shift_px[place]
        if not np.any(shift):
            return wide
        moved = ndimage.shift(wide, shift, order=1, mode="constant", cval=fill, prefilter=False)
        return np.asarray(moved, dtype=np.float32)

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        lowest = np.ceil(np.maximum(0, -self.shift_px.min(axis=0)) - 1e-6).astype(int)
        highest = np.ceil(np.maximum(0, self.shift_px.max(axis=0)) - 1e-6).astype(int)
        return (int(lowest[0]), int(lowest[1])), (int(highest[0]), int(highest[1]))


def spread_evenly(
    slices: Sequence[NDArray[np.float32]],
    grid_index: NDArray[np.float64],
    num_grid_slices: int,
    fill: float,
) -> NDArray[np.float32]:
    """Interpolate linearly between slices that lie at fractional places of an even grid.

    Args:
        slices: Pictures, each (rows, columns).
        grid_index: (n,) ascending places of the pictures.
        num_grid_slices: Number of slices to return.
        fill: Value of slices inside a gap.

    Returns:
        (num_grid_slices, rows, columns).
    """
    volume = np.full((num_grid_slices, *slices[0].shape), fill, dtype=np.float32)
    for number in range(num_grid_slices):
        above = int(np.clip(np.searchsorted(grid_index, number), 1, len(slices) - 1))
        low, high = grid_index[above - 1], grid_index[above]
        share = np.clip((number - low) / (high - low), 0.0, 1.0)
        if high - low <= _WIDEST_BRIDGE or min(share, 1 - share) * (high - low) < 0.5:
            volume[number] = (1 - share) * slices[above - 1] + share * slices[above]
    return volume
