"""Where voxels lie in the patient.

The one convention of Islet: arrays are (slice, row, column); positions are
DICOM patient coordinates (x, y, z), LPS (+x left, +y posterior, +z superior), in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SAME_POSITION_MM = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The grid of a volume: its shape, and the map from voxel index to patient position.

    Args:
        shape: Number of (slices, rows, columns).
        affine: (4, 4); maps homogeneous (slice, row, column) to (x, y, z) LPS in mm.
            The centre of the first voxel is at index (0, 0, 0).
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("affine must be a finite (4, 4) matrix")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("affine must be invertible")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along (slice, row, column), in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3), LPS: its columns are the unit vectors of the slice, row and column axes."""
        return self.affine[:3, :3] / np.asarray(self.spacing_mm)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_patient(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Map voxel indices to patient positions.

        Args:
            indices: (n, 3), order (slice, row, column); fractions allowed.

        Returns:
            (n, 3) positions in mm, order (x, y, z), LPS.

        Raises:
            ValueError: If `indices` is not (n, 3).
        """
        points = _as_points(indices)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, positions_mm: ArrayLike) -> NDArray[np.float64]:
        """Map patient positions to fractional voxel indices.

        Args:
            positions_mm: (n, 3), order (x, y, z), LPS, in mm.

        Returns:
            (n, 3) indices, order (slice, row, column).

        Raises:
            ValueError: If `positions_mm` is not (n, 3).
        """
        points = _as_points(positions_mm) - self.affine[:3, 3]
        return points @ np.linalg.inv(self.affine[:3, :3]).T

    def patient_axes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Say which patient axis each index axis follows most closely.

        Returns:
            For slice, row and column: (patient axis 0 x, 1 y or 2 z; sign +1 or -1).
            Every patient axis is used once, also for a grid rotated by 45 degrees.
        """
        direction = self.direction
        best = max(
            permutations(range(3)),
            key=lambda order: sum(abs(direction[axis, i]) for i, axis in enumerate(order)),
        )
        codes = tuple((axis, 1 if direction[axis, i] >= 0 else -1) for i, axis in enumerate(best))
        return codes[0], codes[1], codes[2]

    def is_same_as(self, other: Geometry) -> bool:
        """Return whether both grids have one shape, and corners equal to 0.01 mm."""
        if self.shape != other.shape:
            return False
        corners = np.array([[0, 0, 0], self.shape], dtype=np.float64)
        cube = np.stack(np.meshgrid(*corners.T, indexing="ij"), axis=-1).reshape(-1, 3)
        shift = self.to_patient(cube) - other.to_patient(cube)
        return bool(np.abs(shift).max() < _SAME_POSITION_MM)


def from_spacing(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """Build the canonical axial grid: slices go up, rows go back, columns go to patient left.

    Args:
        shape: Number of (slices, rows, columns).
        spacing_mm: Voxel distances along (slice, row, column), in mm.
        origin_mm: (x, y, z) LPS of the first voxel's centre, in mm.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(spacing_mm[::-1]))
    affine[:3, 3] = origin_mm
    return Geometry(shape=shape, affine=affine)


def _as_points(values: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"expected an (n, 3) array, got {points.shape}")
    return points
