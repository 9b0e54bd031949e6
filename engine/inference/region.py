"""The part of a scan that is analysed at full resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from engine.geometry import Geometry
from engine.volume import LabelMap, Volume

Index = tuple[int, int, int]

# ours: less than this on a face of the region is a stray voxel, not an organ that is cut.
_CUT_AREA_MM2 = 10.0
# ours, engine reference section 4: outside of this a "pancreas" is something else.
PLAUSIBLE_ML = (5.0, 400.0)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A box of voxels of a scan.

    Args:
        scan: The whole volume.
        start: First (slice, row, column) inside.
        stop: First (slice, row, column) beyond.
        margin: (slice, row, column) voxels around the pancreas the box was made with.
        widened: Whether the margin has been doubled already.
        whole: First voxel inside and beyond of the part that holds the patient; None for all.
    """

    scan: Volume
    start: Index
    stop: Index
    margin: Index = (0, 0, 0)
    widened: bool = False
    whole: tuple[Index, Index] | None = None

    @property
    def route(self) -> str:
        """Return "full" where the region is the whole scan or patient, else "region"."""
        bounds = self.start, self.stop
        everything = (0, 0, 0), self.scan.geometry.shape
        return "full" if bounds in (everything, self.whole) else "region"

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the region in an array of the scan's shape."""
        first, second, third = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return first, second, third

    @property
    def volume(self) -> Volume:
        """The region as a volume of its own, a view of the scan's voxels."""
        geometry = crop_geometry(self.scan.geometry, self.start, self.stop)
        return Volume(self.scan.voxels_hu[self.slices], geometry, self.scan.remarks)

    def wider(self) -> Region:
        """Return the region to try when this one is doubtful: once wider, then everything."""
        if self.widened:
            start, stop = self.whole or ((0, 0, 0), self.scan.geometry.shape)
            return replace(self, start=start, stop=stop)
        return replace(self, **_grown(self, self.margin), widened=True)

    def is_doubtful(self, labels: LabelMap) -> bool:
        """Say whether what was found inside suggests that the region missed the pancreas.

        The labelled volume is no pancreas' volume, or a face of the region cuts through it.
        The whole scan is never doubted: there is nothing wider.
        """
        if self.route == "full":
            return False
        inside = labels.labels[self.slices]
        volume_ml = np.count_nonzero(inside) * labels.geometry.voxel_volume_mm3 / 1000
        lowest, highest = PLAUSIBLE_ML
        return not lowest <= volume_ml <= highest or self._is_cut(inside)

    def _is_cut(self, inside: np.ndarray) -> bool:
        spacing = self.scan.geometry.spacing_mm
        for axis in range(3):
            voxel_area = np.prod(spacing) / spacing[axis]
            faces = []
            if self.start[axis] > 0:
                faces.append(inside.take(0, axis))
            if self.stop[axis] < self.scan.geometry.shape[axis]:
                faces.append(inside.take(-1, axis))
            if any(np.count_nonzero(face) * voxel_area >= _CUT_AREA_MM2 for face in faces):
                return True
        return False


def full_region(volume: Volume) -> Region:
    """Return the region that is the whole scan."""
    return Region(scan=volume, start=(0, 0, 0), stop=volume.geometry.shape, widened=True)


def span_around(
    lower: float, upper: float, *, margin: int, window: int, size: int
) -> tuple[int, int]:
    """Return the first voxel inside and beyond of a region along one axis.

    Nowhere smaller than a window: a network sees a whole one anyway, and if it normalises over
    what it sees, it would take padding for tissue.

    Args:
        lower: Face of what the region is around, in voxels from the scan's own first face.
        upper: The face across.
        margin: Voxels beyond either face.
        window: The fewest voxels, where the scan has them.
        size: Of the scan.
    """
    length = min(size, max(ceil(upper - lower) + 2 * margin, window))
    # Nearest to the middle; half a voxel goes to the front.
    first = ceil((lower + upper - length - 1) / 2)
    start = min(max(0, first), size - length)
    return start, start + length


def crop_geometry(geometry: Geometry, start: Index, stop: Index) -> Geometry:
    """Return the grid of the voxels from `start` to before `stop`."""
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_patient([start])[0]
    depth, height, width = (b - a for a, b in zip(start, stop, strict=True))
    return Geometry(shape=(depth, height, width), affine=affine)


def _grown(region: Region, by: Index) -> dict[str, Index]:
    shape = region.scan.geometry.shape
    start = tuple(max(0, a - n) for a, n in zip(region.start, by, strict=True))
    stop = tuple(min(s, b + n) for b, n, s in zip(region.stop, by, shape, strict=True))
    return {"start": (start[0], start[1], start[2]), "stop": (stop[0], stop[1], stop[2])}
