"""Separable linear resampling between two grids that share their axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AxisGrid:
    """Equidistant sample positions along one axis.

    Args:
        num: Number of samples.
        spacing_mm: Their distance, in mm.
        start_mm: Position of the first sample, in mm.
    """

    num: int
    spacing_mm: float
    start_mm: float = 0.0

    def centred(self, spacing_mm: float) -> AxisGrid:
        """Return a grid of another spacing over the same extent, with the same centre."""
        num = max(1, round(self.num * self.spacing_mm / spacing_mm))
        centre = self.start_mm + (self.num - 1) / 2 * self.spacing_mm
        return AxisGrid(num, spacing_mm, centre - (num - 1) / 2 * spacing_mm)

    @property
    def positions_mm(self) -> NDArray[np.float64]:
        """(num,) sample positions, in mm."""
        return self.start_mm + np.arange(self.num, dtype=np.float64) * self.spacing_mm


def weights(source: AxisGrid, target: AxisGrid) -> NDArray[np.float32]:
    """Return the matrix that takes samples of `source` to samples of `target`.

    A triangle filter as wide as the coarser of the two spacings: linear interpolation where
    the target is finer, an antialiasing average where it is coarser. Positions beyond the
    source repeat its edge.

    Returns:
        (target.num, source.num); every row sums to 1.
    """
    last_mm = source.start_mm + (source.num - 1) * source.spacing_mm
    wanted = np.clip(target.positions_mm, source.start_mm, last_mm)
    distance = np.abs(wanted[:, None] - source.positions_mm[None, :])
    matrix = np.maximum(0.0, 1.0 - distance / max(source.spacing_mm, target.spacing_mm))
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def apply(
    array: NDArray[np.float32], matrices: tuple[NDArray[np.float32], ...]
) -> NDArray[np.float32]:
    """Resample the last three axes of `array`, the one that shrinks most first.

    Args:
        array: (..., D, H, W).
        matrices: One (target, source) matrix for each of D, H and W.

    Returns:
        (..., D', H', W'), float32.
    """
    order = sorted(range(3), key=lambda i: matrices[i].shape[0] / matrices[i].shape[1])
    array = np.ascontiguousarray(array)
    for i in order:
        array = _along(array, matrices[i], array.ndim - 3 + i)
    return array


def _along(
    array: NDArray[np.float32], matrix: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    # As products of contiguous matrices: a strided operand would leave the fast path of BLAS.
    before, length, after = array.shape[:axis], array.shape[axis], array.shape[axis + 1 :]
    if not after:
        return array @ matrix.T
    flat = array.reshape(-1, length, int(np.prod(after)))
    return (matrix @ flat).reshape(*before, matrix.shape[0], *after)
