"""How a plane of a volume lies on the screen: radiological, for any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Geometry

PLANES = ("axial", "coronal", "sagittal")

_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))

# Per plane: patient axis looked along with the sense of "next slice", then (axis, sense) of screen
# right and screen down. Axial is seen from the feet, so patient left is on the right.
_VIEWS = {
    "axial": ((2, -1), (0, 1), (1, 1)),
    "coronal": ((1, 1), (0, 1), (2, -1)),
    "sagittal": ((0, 1), (1, 1), (2, -1)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One of the three planes of a grid, as it is shown.

    Plane coordinates are (x, y) in voxels, right and down on the screen, from the outer corner of
    the top left voxel: the centre of that voxel is (0.5, 0.5).

    Args:
        name: "axial", "coronal" or "sagittal".
        geometry: The grid.
        through: Index axis (0 slice, 1 row, 2 column) that is looked along.
        across: Index axis that runs along the screen's rows.
        down: Index axis that runs along the screen's columns.
        across_flipped: Whether the index falls towards the right.
        down_flipped: Whether the index falls downwards.
        next_step: +1 or -1: index change of "next slice", towards feet, back or patient left.
    """

    name: str
    geometry: Geometry
    through: int
    across: int
    down: int
    across_flipped: bool
    down_flipped: bool
    next_step: int

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Patient sides on the (left, right, top, bottom) edge of the screen."""
        _, (right, right_sign), (down, down_sign) = _VIEWS[self.name]
        left_right = _AXIS_LETTERS[right][::right_sign]
        top_bottom = _AXIS_LETTERS[down][::down_sign]
        return left_right[0], left_right[1], top_bottom[0], top_bottom[1]

    @property
    def num_slices(self) -> int:
        """Number of slices along the viewing direction."""
        return self.geometry.shape[self.through]

    @property
    def size(self) -> tuple[int, int]:
        """Number of (columns, rows) on the screen."""
        return self.geometry.shape[self.across], self.geometry.shape[self.down]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a voxel along the screen's (x, y), in mm."""
        spacing = self.geometry.spacing_mm
        return spacing[self.across], spacing[self.down]

    @property
    def extent_mm(self) -> tuple[float, float]:
        """(width, height) of the whole plane in mm."""
        (columns, rows), (width, height) = self.size, self.pixel_mm
        return columns * width, rows * height

    @property
    def thickness_mm(self) -> float:
        """Distance between neighbouring slices, in mm."""
        return self.geometry.spacing_mm[self.through]

    @property
    def is_thin(self) -> bool:
        """Whether this plane cuts a single slice edge on, and has nothing to show."""
        return min(self.size) < 2

    def slice_of(self, array: NDArray, number: int) -> NDArray:
        """Return slice `number` of `array` as (rows, columns) of the screen; a view, no copy."""
        where: list[slice | int] = [slice(None)] * 3
        where[self.through] = number
        picked = array[tuple(where)]
        if self.down > self.across:
            picked = picked.T
        if self.down_flipped:
            picked = picked[::-1]
        return picked[:, ::-1] if self.across_flipped else picked

    def slice_at(self, position_mm: tuple[float, float, float]) -> int:
        """Return the number of the slice nearest to a position."""
        index = self.geometry.to_index([position_mm])[0, self.through]
        return int(np.clip(np.rint(index), 0, self.num_slices - 1))

    def to_plane(self, positions_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) positions in mm to (n, 2) plane coordinates (x, y)."""
        index = self.geometry.to_index(positions_mm)
        columns, rows = self.size
        x, y = index[:, self.across] + 0.5, index[:, self.down] + 0.5
        return np.stack(
            (columns - x if self.across_flipped else x, rows - y if self.down_flipped else y),
            axis=1,
        )

    def to_patient(self, x: float, y: float, number: int) -> tuple[float, float, float]:
        """Map plane coordinates on slice `number` to a position (x, y, z) LPS in mm."""
        columns, rows = self.size
        index = np.zeros((1, 3))
        index[0, self.through] = number
        index[0, self.across] = (columns - x if self.across_flipped else x) - 0.5
        index[0, self.down] = (rows - y if self.down_flipped else y) - 0.5
        position = self.geometry.to_patient(index)[0]
        return float(position[0]), float(position[1]), float(position[2])

    def voxel_at(self, x: float, y: float, number: int) -> tuple[int, int, int] | None:
        """Return the (slice, row, column) of the voxel under a point, or None beside the grid."""
        columns, rows = self.size
        if not (0 <= x < columns and 0 <= y < rows):
            return None
        index = [0, 0, 0]
        index[self.through] = number
        index[self.across] = columns - 1 - int(x) if self.across_flipped else int(x)
        index[self.down] = rows - 1 - int(y) if self.down_flipped else int(y)
        return index[0], index[1], index[2]


def plane_of(geometry: Geometry, name: str) -> Plane:
    """Return the plane `name` of a grid; an oblique grid is cut along its own closest axes."""
    along = {axis: (i, sign) for i, (axis, sign) in enumerate(geometry.patient_axes())}
    (look, look_sign), (right, right_sign), (down, down_sign) = _VIEWS[name]
    return Plane(
        name=name,
        geometry=geometry,
        through=along[look][0],
        across=along[right][0],
        down=along[down][0],
        across_flipped=along[right][1] != right_sign,
        down_flipped=along[down][1] != down_sign,
        next_step=along[look][1] * look_sign,
    )
