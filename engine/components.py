"""The connected pieces of a labelled structure, with their place in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.finding import Box
from engine.geometry import Geometry
from engine.volume import LabelMap


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One connected piece of a structure.

    Args:
        mask: (slices, rows, columns) of the piece's own box.
        start: (slice, row, column) of the box's first voxel in the scan.
        geometry: Of the scan.
    """

    mask: NDArray[np.bool_]
    start: tuple[int, int, int]
    geometry: Geometry

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the piece's box in an array of the scan's shape."""
        first, second, third = (
            slice(a, a + n) for a, n in zip(self.start, self.mask.shape, strict=True)
        )
        return first, second, third

    @property
    def volume_mm3(self) -> float:
        """Volume in mm³."""
        return float(np.count_nonzero(self.mask)) * self.geometry.voxel_volume_mm3

    @property
    def centre_mm(self) -> tuple[float, float, float]:
        """(x, y, z) LPS of the centroid, in mm."""
        index = np.argwhere(self.mask).mean(axis=0) + self.start
        x, y, z = self.geometry.to_patient([index])[0]
        return float(x), float(y), float(z)

    @property
    def box_mm(self) -> Box:
        """The enclosing box along the patient's axes, outer faces of the voxels included."""
        ends = [(s.start - 0.5, s.stop - 0.5) for s in self.slices]
        corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
        points = self.geometry.to_patient(corners)
        left, front, low = points.min(axis=0).tolist()
        right, back, high = points.max(axis=0).tolist()
        return Box(lower_mm=(left, front, low), upper_mm=(right, back, high))


def find_components(labels: LabelMap, structure: str) -> tuple[Component, ...]:
    """Return the pieces of `structure`, voxels touching by a corner being connected.

    Raises:
        KeyError: If the map does not know the structure.
    """
    value = labels.value_of(structure)
    found = np.flatnonzero((labels.labels == value).any(axis=(1, 2)))
    if not len(found):
        return ()
    first, last = int(found[0]), int(found[-1]) + 1
    # Only the labelled slices: numbering pieces takes four bytes for every voxel it is given.
    numbered = np.zeros((last - first, *labels.labels.shape[1:]), np.int32)
    ndimage.label(labels.labels[first:last] == value, np.ones((3, 3, 3)), output=numbered)
    pieces = []
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        start = (box[0].start + first, box[1].start, box[2].start)
        pieces.append(Component(numbered[box] == number, start, labels.geometry))
    return tuple(pieces)
