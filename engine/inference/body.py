"""Find the patient in a scan, so that air and the table cost no time."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import ndimage

from engine.inference.region import Region, full_region
from engine.volume import Volume

_GRID_MM = 5.0  # ours: fine enough for a body
_LOWEST_HU = -300.0  # ours: between fat and lung
_MARGIN_MM = 10.0  # ours: two voxels of the coarse grid
# ours: a "body" smaller than this is noise, or a crop without air around it
_SMALLEST_ML = 500.0


def body_region(volume: Volume) -> Region:
    """Return the box around the patient, over all slices of the body's largest piece.

    The whole scan where no body stands out.
    """
    whole = full_region(volume)
    steps = [max(1, round(_GRID_MM / spacing)) for spacing in volume.geometry.spacing_mm]
    coarse = volume.voxels_hu[tuple(slice(None, None, step) for step in steps)] > _LOWEST_HU
    # Opened, because clothes and the table touch the skin.
    numbered = np.zeros(coarse.shape, np.int32)
    ndimage.label(ndimage.binary_opening(coarse), output=numbered)
    sizes = np.bincount(numbered.ravel())[1:]
    voxel_ml = volume.geometry.voxel_volume_mm3 * float(np.prod(steps)) / 1000
    if not len(sizes) or sizes.max() * voxel_ml < _SMALLEST_ML:
        return whole
    box = ndimage.find_objects(numbered)[int(sizes.argmax())]
    margins = [ceil(_MARGIN_MM / spacing) for spacing in volume.geometry.spacing_mm]
    edges = [
        (max(0, side.start * step - margin), min(size, side.stop * step + margin))
        for side, step, margin, size in zip(box, steps, margins, volume.geometry.shape, strict=True)
    ]
    start = (edges[0][0], edges[1][0], edges[2][0])
    stop = (edges[0][1], edges[1][1], edges[2][1])
    return Region(volume, start, stop, widened=True, whole=(start, stop))
