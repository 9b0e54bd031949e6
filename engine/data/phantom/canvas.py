"""The analytic grid on which a phantom is painted, back to front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Box = tuple[slice, slice, slice]

STEP_MM = 1.5
"""Distance of the analytic grid's points; finer detail is partial volume."""


class SmoothField:
    """A random function of position, smooth at one length and of unit standard deviation."""

    def __init__(
        self, rng: np.random.Generator, extent: tuple[Array, Array, Array], scale_mm: float
    ) -> None:
        self._scale_mm = scale_mm
        self._start = [float(axis[0]) - 2.0 * scale_mm for axis in extent]
        counts = [int((axis[-1] - axis[0]) / scale_mm) + 6 for axis in extent]
        # 0.345 is the standard deviation of white nodes seen through three cubic B-splines.
        self._nodes = rng.standard_normal(counts, dtype=np.float32) / np.float32(0.345)

    def on_grid(self, axes: tuple[Array, Array, Array]) -> Array:
        """Evaluate on the grid spanned by three axes (z, y, x) in mm."""
        weights_z, weights_y, weights_x = (self._weights(i, axes[i]) for i in range(3))
        rows = np.tensordot(self._nodes, weights_x, axes=(2, 1))
        planes = np.tensordot(rows, weights_y, axes=(1, 1))
        cube = np.tensordot(planes, weights_z, axes=(0, 1))
        return np.ascontiguousarray(cube.transpose(2, 1, 0))

    def at(self, points_mm: NDArray[np.floating]) -> Array:
        """Evaluate at (n, 3) points in order (x, y, z)."""
        weights = [self._weights(i, points_mm[:, 2 - i].astype(np.float32)) for i in range(3)]
        return np.einsum("pa,pb,pc,abc->p", *weights, self._nodes, optimize=True)

    def _weights(self, axis: int, positions: Array) -> Array:
        nodes = np.arange(self._nodes.shape[axis], dtype=np.float32)
        where = (positions - np.float32(self._start[axis])) / np.float32(self._scale_mm)
        gap = np.abs(where[:, None] - nodes[None, :])
        near = 2.0 / 3.0 - gap**2 + 0.5 * gap**3
        far = np.clip(2.0 - gap, 0.0, None) ** 3 / 6.0
        return np.where(gap < 1.0, near, far).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where the voxels of a box lie in the average patient, in mm; each (z, y, x)-shaped."""

    x: Array
    y: Array
    z: Array


class Canvas:
    """Holds HU and structures while a phantom is painted.

    Positions are those of an average patient: x to the left, y to the back, z up, with the
    origin in front of the first lumbar vertebra. A smooth random warp makes the patient.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        half_width_mm: tuple[float, float],
        z_range_mm: tuple[float, float],
        scale: tuple[float, float, float],
    ) -> None:
        half_x, half_y = half_width_mm
        self.x = np.arange(-half_x, half_x + STEP_MM, STEP_MM, dtype=np.float32)
        self.y = np.arange(-half_y, half_y + STEP_MM, STEP_MM, dtype=np.float32)
        self.z = np.arange(z_range_mm[0], z_range_mm[1] + STEP_MM, STEP_MM, dtype=np.float32)
        shape = (len(self.z), len(self.y), len(self.x))
        self.hu = np.full(shape, -1000.0, dtype=np.float32)
        self.structure = np.zeros(shape, dtype=np.uint8)
        self._scale = np.array(scale, dtype=np.float32)
        extent = (self.z, self.y, self.x)
        self._warp = [SmoothField(rng, extent, 45.0) for _ in range(3)]
        self._warp_mm = (4.5, 3.5, 5.0)
        self._texture = [SmoothField(rng, extent, scale_mm) for scale_mm in (6.0, 30.0)]

    @property
    def everywhere(self) -> Box:
        """The box of the whole grid."""
        depth, height, width = self.hu.shape
        return slice(0, depth), slice(0, height), slice(0, width)

    def axes(self, box: Box) -> tuple[Array, Array, Array]:
        """Return the grid's own (z, y, x) axes within a box, in mm."""
        return self.z[box[0]], self.y[box[1]], self.x[box[2]]

    def box(self, low_mm: tuple[float, ...], high_mm: tuple[float, ...]) -> Box:
        """Return the box that holds the average patient's (x, y, z) range, warp included."""
        low = np.asarray(low_mm) * self._scale - 14.0
        high = np.asarray(high_mm) * self._scale + 14.0
        return self.box_around(low, high)

    def box_around(self, low_mm: NDArray[np.floating], high_mm: NDArray[np.floating]) -> Box:
        """Return the box between two (x, y, z) corners of the grid's own space, in mm."""
        ranges = zip((self.z, self.y, self.x), low_mm[::-1], high_mm[::-1], strict=True)
        spans = [np.searchsorted(axis, (start, stop)) for axis, start, stop in ranges]
        return (
            slice(int(spans[0][0]), int(spans[0][1])),
            slice(int(spans[1][0]), int(spans[1][1])),
            slice(int(spans[2][0]), int(spans[2][1])),
        )

    def coordinates(self, box: Box) -> Coordinates:
        """Return the average patient's coordinates in a box, unwarped and unscaled."""
        z, y, x = self.axes(box)
        moved = [f.on_grid((z, y, x)) * mm for f, mm in zip(self._warp, self._warp_mm, strict=True)]
        return Coordinates(
            x=(x[None, None, :] + moved[0]) / self._scale[0],
            y=(y[None, :, None] + moved[1]) / self._scale[1],
            z=(z[:, None, None] + moved[2]) / self._scale[2],
        )

    def place(self, points_mm: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map (n, 3) points (x, y, z) of the average patient into the grid's own space."""
        points = np.asarray(points_mm, dtype=np.float32) * self._scale
        moved = [f.at(points) * mm for f, mm in zip(self._warp, self._warp_mm, strict=True)]
        return (points - np.stack(moved, axis=1)).astype(np.float32)

    def structure_at(self, point_mm: NDArray[np.floating]) -> int:
        """Return the structure painted at one (x, y, z) point of the average patient."""
        x, y, z = self.place(point_mm[None])[0]
        index = [np.searchsorted(a, p) for a, p in ((self.z, z), (self.y, y), (self.x, x))]
        inside = [min(int(i), n - 1) for i, n in zip(index, self.structure.shape, strict=True)]
        return int(self.structure[tuple(inside)])

    def texture(self, box: Box, fine_hu: float, coarse_hu: float) -> Array:
        """Return the gentle unevenness of living tissue in a box, in HU."""
        axes = self.axes(box)
        fine, coarse = (field.on_grid(axes) for field in self._texture)
        return fine * np.float32(fine_hu) + coarse * np.float32(coarse_hu)

    def paint(
        self, box: Box, distance: Array, hu: Array | float, structure: int, soft_mm: float = STEP_MM
    ) -> Array:
        """Paint where `distance` is negative; return how far each voxel is covered, 0 to 1.

        Args:
            box: Where `distance` lies.
            distance: Signed distance to the surface in mm, negative inside.
            hu: One value, or one for each voxel of the box.
            structure: Value written where more than half of a voxel is covered.
            soft_mm: Width of the transition; the grid's step gives partial volume.
        """
        cover = np.clip(0.5 - distance / np.float32(soft_mm), 0.0, 1.0)
        self.hu[box] += cover * (hu - self.hu[box])
        self.structure[box][cover > 0.5] = structure
        return cover
