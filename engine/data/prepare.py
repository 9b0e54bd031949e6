"""Turn a volume into a network's input, remembering the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.data import resample
from engine.data.resample import AxisGrid
from engine.geometry import Geometry
from engine.system import Preparation
from engine.volume import LabelMap, Volume

ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Reorientation:
    """How the index axes of a scan are reordered to the canonical ones.

    The canonical grid's (slice, row, column) run to patient superior, posterior and left.

    Args:
        order: Scan axis that becomes the canonical slice, row and column axis.
        flipped: Whether that canonical axis runs against the scan's.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: NDArray[ScalarT]) -> NDArray[ScalarT]:
        """Reorder (..., slice, row, column) of the scan to the canonical order, as a view."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        return moved[(..., *self._steps())]

    def undo(self, array: NDArray[ScalarT]) -> NDArray[ScalarT]:
        """Bring an array in canonical order back to the scan's, as a view."""
        lead = array.ndim - 3
        unflipped = array[(..., *self._steps())]
        back = np.argsort(self.order)
        return unflipped.transpose(*range(lead), *(lead + int(axis) for axis in back))

    def geometry(self, scan: Geometry) -> Geometry:
        """Return the scan's grid with its axes in canonical order."""
        to_scan = np.zeros((4, 4))
        to_scan[3, 3] = 1.0
        for canonical, (axis, flip) in enumerate(zip(self.order, self.flipped, strict=True)):
            to_scan[axis, canonical] = -1.0 if flip else 1.0
            to_scan[axis, 3] = scan.shape[axis] - 1 if flip else 0.0
        shape = tuple(scan.shape[axis] for axis in self.order)
        return Geometry(shape=(shape[0], shape[1], shape[2]), affine=scan.affine @ to_scan)

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)


def reorientation_of(geometry: Geometry) -> Reorientation:
    """Say how `geometry` is reordered to superior, posterior, left."""
    codes = geometry.patient_axes()
    axis_of = {patient_axis: axis for axis, (patient_axis, _) in enumerate(codes)}
    order = (axis_of[2], axis_of[1], axis_of[0])
    flips = tuple(codes[axis][1] < 0 for axis in order)
    return Reorientation(order=order, flipped=(flips[0], flips[1], flips[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A network's input, and the way back to the scan.

    Args:
        image: (D, H, W) float32: canonical order, target spacing, clipped, normalised.
        geometry: The grid of `image`.
        source: The scan's own grid.
        reorientation: From the scan's axes to the canonical ones.
        spacing_mm: Target spacing along (slice, row, column), in mm.
    """

    image: NDArray[np.float32]
    geometry: Geometry
    source: Geometry
    reorientation: Reorientation
    spacing_mm: tuple[float, float, float]

    def to_scan(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate channels on the prepared grid linearly to the scan's voxels.

        Args:
            array: (K, D, H, W) on the grid of `image`.

        Returns:
            (K, slices, rows, columns) on the grid of `source`.
        """
        axes = _axis_grids(self.reorientation.geometry(self.source), self.spacing_mm)
        matrices = tuple(resample.weights(target, source) for source, target in axes)
        restored = resample.apply(array.astype(np.float32, copy=False), matrices)
        return np.ascontiguousarray(self.reorientation.undo(restored))


def prepare(volume: Volume, preparation: Preparation) -> Prepared:
    """Reorient, resample, clip and normalise a volume."""
    lowest, highest = preparation.hu_window
    canonical = reorientation_of(volume.geometry)
    voxels = canonical.apply(volume.voxels_hu)
    clipped = np.clip(voxels, lowest, highest).astype(np.float32)
    image, geometry = _resample(clipped, volume.geometry, canonical, preparation.spacing_mm)
    image -= preparation.hu_mean
    image /= preparation.hu_sd
    return Prepared(image, geometry, volume.geometry, canonical, preparation.spacing_mm)


def prepare_labels(
    labels: LabelMap, spacing_mm: tuple[float, float, float], num_classes: int
) -> NDArray[np.uint8]:
    """Bring a label map to the grid `prepare` makes of the same scan.

    Classes are resampled one by one, linearly, and the largest share wins, so that thin
    structures neither vanish nor grow.

    Returns:
        (D, H, W) uint8.
    """
    canonical = reorientation_of(labels.geometry)
    values = canonical.apply(labels.labels)
    best: NDArray[np.float32] | None = None
    winner: NDArray[np.uint8] | None = None
    for value in range(num_classes):
        share = (values == value).astype(np.float32)
        share, _ = _resample(share, labels.geometry, canonical, spacing_mm)
        if best is None or winner is None:
            best, winner = share, np.zeros(share.shape, np.uint8)
            continue
        winner[share > best] = value
        best = np.maximum(best, share)
    if winner is None:
        raise ValueError("num_classes must be at least 1")
    return winner


def _resample(
    canonical_voxels: NDArray[np.float32],
    scan: Geometry,
    canonical: Reorientation,
    spacing_mm: tuple[float, float, float],
) -> tuple[NDArray[np.float32], Geometry]:
    grid = canonical.geometry(scan)
    axes = _axis_grids(grid, spacing_mm)
    matrices = tuple(resample.weights(source, target) for source, target in axes)
    image = resample.apply(canonical_voxels, matrices)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.direction * np.asarray(spacing_mm)
    affine[:3, 3] += grid.direction @ np.array([target.start_mm for _, target in axes])
    shape = (image.shape[0], image.shape[1], image.shape[2])
    return image, Geometry(shape=shape, affine=affine)


def _axis_grids(
    grid: Geometry, spacing_mm: tuple[float, float, float]
) -> tuple[tuple[AxisGrid, AxisGrid], ...]:
    sources = tuple(AxisGrid(n, s) for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    return tuple(
        (source, source.centred(wanted)) for source, wanted in zip(sources, spacing_mm, strict=True)
    )
