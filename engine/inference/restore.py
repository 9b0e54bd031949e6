"""Bring a network's probabilities back to the scan's own grid.

Shapes: K classes, D H W slices, rows, columns of the prepared grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.data import resample
from engine.data.prepare import Prepared
from engine.data.resample import AxisGrid
from engine.inference.region import Index, Region
from engine.system import System
from engine.volume import LabelMap

# A structure's voxel needs this much foreground; the labelled box follows from it.
_FOREGROUND = 0.5
# Voxels of the scan that are restored at a time: a few slices, a few tens of MB.
_SLAB_VOXELS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """Probabilities of the structures in a box of the scan; outside of it there is nothing.

    Args:
        values: (structures, slices, rows, columns) float16, without the background.
        start: (slice, row, column) of the box's first voxel in the scan.
        structures: Names along the first axis.
    """

    values: NDArray[np.float16]
    start: Index
    structures: tuple[str, ...]

    def within(self, structure: str, slices: tuple[slice, slice, slice]) -> NDArray[np.float16]:
        """Return the probability of `structure` in a part of the scan that lies in the box."""
        inside = tuple(
            slice(s.start - a, s.stop - a) for s, a in zip(slices, self.start, strict=True)
        )
        return self.values[(self.structures.index(structure), *inside)]


def to_scan(
    probabilities_KDHW: NDArray[np.float32] | None,
    prepared: Prepared,
    region: Region,
    system: System,
) -> tuple[LabelMap, Probabilities]:
    """Restore labels and probabilities to exactly the grid of the scan.

    Only the box around the foreground is interpolated, a few slices at a time: memory follows
    the size of the pancreas, not that of the scan.

    Args:
        probabilities_KDHW: On the prepared grid, background first; None where the system does
            not segment: then nothing is labelled.
        prepared: The region, as it was given to the network.
        region: Where in the scan it lies.
        system: Names the structures and the threshold of a lesion.
    """
    if probabilities_KDHW is None:
        return _nothing_outlined(region, system)
    scan = region.scan.geometry
    names = dict(enumerate(system.structures, start=1))
    labels = np.zeros(scan.shape, np.uint8)
    inside = _Interpolation(prepared, _foreground_box(probabilities_KDHW, system))
    values = np.zeros((len(names), *inside.shape), np.float16)
    for rows, part_KDHW in inside.slabs(probabilities_KDHW):
        values[:, rows] = part_KDHW[1:]
        inside.canonical_view(labels[region.slices])[rows] = _decide(part_KDHW, system)
    start, values = inside.to_scan_order(values)
    offset = tuple(a + b for a, b in zip(start, region.start, strict=True))
    box = Probabilities(values, (offset[0], offset[1], offset[2]), system.structures)
    return LabelMap(labels, names, scan), box


class _Interpolation:
    """From a box of the prepared grid to the scan's voxels inside it, in canonical order."""

    def __init__(self, prepared: Prepared, box: tuple[slice, ...]) -> None:
        self._reorientation = prepared.reorientation
        self._source = prepared.source
        grid = self._reorientation.geometry(prepared.source)
        shift = prepared.geometry.affine[:3, 3] - grid.affine[:3, 3]
        starts_mm = grid.direction.T @ shift
        self._box = box
        self._bounds: list[tuple[int, int]] = []
        self._matrices: list[NDArray[np.float32]] = []
        for axis in range(3):
            source = AxisGrid(
                prepared.geometry.shape[axis], prepared.spacing_mm[axis], float(starts_mm[axis])
            )
            target = AxisGrid(grid.shape[axis], grid.spacing_mm[axis])
            matrix = resample.weights(source, target)
            reached = np.flatnonzero(matrix[:, box[axis]].any(axis=1))
            bounds = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 0)
            self._bounds.append(bounds)
            self._matrices.append(matrix[slice(*bounds), box[axis]])

    @property
    def shape(self) -> Index:
        """Of the restored box, in canonical order."""
        depth, height, width = (stop - start for start, stop in self._bounds)
        return depth, height, width

    def slabs(
        self, probabilities_KDHW: NDArray[np.float32]
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield a few canonical slices of the box at a time, interpolated."""
        depth, height, width = self.shape
        if not depth * height * width:
            return
        cropped = probabilities_KDHW[(slice(None), *self._box)]
        num = max(1, _SLAB_VOXELS // (height * width))
        for first in range(0, depth, num):
            rows = slice(first, min(depth, first + num))
            used = np.flatnonzero(self._matrices[0][rows].any(axis=0))
            lower, upper = int(used[0]), int(used[-1]) + 1
            matrices = (self._matrices[0][rows, lower:upper], *self._matrices[1:])
            yield (
                rows,
                resample.apply(cropped[:, lower:upper], (matrices[0], matrices[1], matrices[2])),
            )

    def canonical_view(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the restored box of an array on the source's grid, as a writeable view."""
        return self._reorientation.apply(array)[tuple(slice(*b) for b in self._bounds)]

    def to_scan_order(self, values: NDArray[np.float16]) -> tuple[Index, NDArray[np.float16]]:
        """Return where the box begins on the source's grid, and its values in that order."""
        start = [0, 0, 0]
        axes = zip(self._reorientation.order, self._reorientation.flipped, strict=True)
        for canonical, (axis, flipped) in enumerate(axes):
            lower, upper = self._bounds[canonical]
            start[axis] = self._source.shape[axis] - upper if flipped else lower
        return (start[0], start[1], start[2]), self._reorientation.undo(values)


def _nothing_outlined(region: Region, system: System) -> tuple[LabelMap, Probabilities]:
    # The lesion is named, since its boxes may be shown or hidden, but no organ: a pancreas of
    # 0 mL would be a finding.
    scan = region.scan.geometry
    names = {v: name for v, name in enumerate(system.structures, start=1) if name == "lesion"}
    nowhere = Probabilities(np.zeros((0, 0, 0, 0), np.float16), (0, 0, 0), ())
    return LabelMap(np.zeros(scan.shape, np.uint8), names, scan), nowhere


def _foreground_box(probabilities_KDHW: NDArray[np.float32], system: System) -> tuple[slice, ...]:
    """Return the box of prepared voxels that can matter to a labelled voxel of the scan."""
    least = min(_FOREGROUND, system.inference.lesion_threshold)
    mask = 1.0 - probabilities_KDHW[0] >= least
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not len(found):
            return (slice(0, 0), slice(0, 0), slice(0, 0))
        # Two voxels more: interpolation reaches one, an antialiasing average about two.
        box.append(slice(max(0, int(found[0]) - 2), int(found[-1]) + 3))
    return tuple(box)


def _decide(part_KDHW: NDArray[np.float32], system: System) -> NDArray[np.uint8]:
    """Choose a label per voxel.

    A lesion where its probability reaches the system's threshold. Elsewhere the largest share,
    a lesion below the threshold counting as pancreas: it lies in one.
    """
    shares = part_KDHW
    if "lesion" not in system.structures or "pancreas" not in system.structures:
        return shares.argmax(axis=0).astype(np.uint8)
    lesion = 1 + system.structures.index("lesion")
    pancreas = 1 + system.structures.index("pancreas")
    shares = part_KDHW.copy()
    shares[pancreas] += shares[lesion]
    shares[lesion] = 0.0
    chosen = shares.argmax(axis=0).astype(np.uint8)
    chosen[part_KDHW[lesion] >= system.inference.lesion_threshold] = lesion
    return chosen
