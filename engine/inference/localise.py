"""Find where the pancreas lies, at low resolution, so that only there is looked closely."""

from __future__ import annotations

import logging
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.data.prepare import Prepared, prepare, reorientation_of
from engine.geometry import Geometry
from engine.inference.body import body_region
from engine.inference.memory import infer_within_memory
from engine.inference.region import PLAUSIBLE_ML, Index, Region, span_around
from engine.progress import OnProgress, ignore_progress
from engine.volume import Volume

if TYPE_CHECKING:
    from engine.inference.model import Model

log = logging.getLogger(__name__)

# ours: a second component of half the largest one's size leaves open which is the pancreas.
_RIVAL_SHARE = 0.5
# ours: at low resolution a thin neck may be lost; a tenth is a tail rather than a stray.
_PART_SHARE = 0.1
# ours: below this nothing was found, and no margin makes up for it.
_NOTHING_ML = 0.5


def find_region(model: Model, volume: Volume, on_progress: OnProgress = ignore_progress) -> Region:
    """Return the region of `volume` to analyse at full resolution.

    The whole patient where the system has no localiser, or where its localiser finds nothing. A
    region that is doubtful from the start (engine reference, section 4) is made wider at once.
    """
    margin_mm = model.system.inference.region_margin_mm
    body = body_region(volume)
    if model.localiser is None or margin_mm is None:
        return body
    prepared = prepare(body.volume, model.localiser.system.preparation)
    probabilities_KDHW = infer_within_memory(
        model.localiser, prepared, lambda _stage, done: on_progress("localise", done)
    )
    mask_DHW = probabilities_KDHW[0] < 0.5
    pieces, sizes_ml = _pieces(mask_DHW, prepared.geometry)
    if not len(sizes_ml) or sizes_ml[0] < _NOTHING_ML:
        log.info("The localiser found nothing; the whole patient is analysed")
        return body
    parts = np.isin(pieces, 1 + np.flatnonzero(sizes_ml >= _PART_SHARE * sizes_ml[0]))
    region = replace(_around(parts, prepared, model, volume), whole=body.whole)
    return region.wider() if _is_doubtful(sizes_ml) else region


def _pieces(
    mask_DHW: NDArray[np.bool_], geometry: Geometry
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Number the connected pieces of a mask from the largest, and give their sizes in mL."""
    numbered = np.zeros(mask_DHW.shape, np.int32)
    ndimage.label(mask_DHW, np.ones((3, 3, 3)), output=numbered)
    sizes = np.bincount(numbered.ravel())[1:]
    order = np.argsort(-sizes)
    rank = np.zeros(len(sizes) + 1, np.int32)
    rank[1 + order] = 1 + np.arange(len(sizes))
    return rank[numbered], sizes[order] * geometry.voxel_volume_mm3 / 1000


def _is_doubtful(sizes_ml: NDArray[np.float64]) -> bool:
    lowest, highest = PLAUSIBLE_ML
    has_rival = len(sizes_ml) > 1 and sizes_ml[1] >= _RIVAL_SHARE * sizes_ml[0]
    return bool(has_rival or not lowest <= sizes_ml[0] <= highest)


def _around(mask_DHW: NDArray[np.bool_], coarse: Prepared, model: Model, volume: Volume) -> Region:
    """Return the box around a mask, with the system's margin, nowhere smaller than a window."""
    inference, preparation = model.system.inference, model.system.preparation
    assert inference.region_margin_mm is not None
    lower, upper = _scan_bounds(mask_DHW, coarse.geometry, volume.geometry)
    start, stop, margins = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    for canonical, axis in enumerate(reorientation_of(volume.geometry).order):
        spacing = volume.geometry.spacing_mm[axis]
        window_mm = inference.patch_shape[canonical] * preparation.spacing_mm[canonical]
        margins[axis] = ceil(inference.region_margin_mm[canonical] / spacing)
        start[axis], stop[axis] = span_around(
            lower[axis],
            upper[axis],
            margin=margins[axis],
            # Rounded down: one voxel beyond a window would cost a second one.
            window=int(window_mm / spacing),
            size=volume.geometry.shape[axis],
        )
    return Region(volume, _index(start), _index(stop), _index(margins))


def _scan_bounds(
    mask_DHW: NDArray[np.bool_], coarse: Geometry, scan: Geometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the outer faces of a mask's box, in voxels of the scan counted from its own faces."""
    box = ndimage.find_objects(mask_DHW.astype(np.uint8))[0]
    ends = [(s.start - 0.5, s.stop - 0.5) for s in box]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = scan.to_index(coarse.to_patient(corners)) + 0.5
    return indices.min(axis=0), indices.max(axis=0)


def _index(values: list[int]) -> Index:
    return values[0], values[1], values[2]
