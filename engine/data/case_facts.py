"""Measure a case of a data set as it lies on disk, before anyone trusts it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engine.data.datasets import Entry
from engine.data.images import read_grid, read_values
from engine.data.label_names import NAMES
from engine.errors import IsletError
from engine.geometry import Geometry

_LESION = next(value for value, name in NAMES.items() if name == "lesion")
_HU_LIMITS = (-1024, 3071)
_HOW_CONNECTED = np.ones((3, 3, 3))
_NO_SHAPE = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is in the files of one case.

    Args:
        image_error: Why the image cannot be read; empty where it can.
        labels_error: The same of the label map.
        shape: Voxels of the image along (slice, row, column).
        spacing_mm: Of the image.
        is_same_grid: Whether image and label map share their grid.
        num_without_value: Voxels of the image that are not a number.
        hu_range: Lowest and highest density.
        off_whole: Largest distance of a label value from a whole number.
        counts: Pairs of a label value, as in the file and rounded, and its number of voxels.
        lesions_mm3: Volume of every connected lesion.
        histogram: Pairs of a density in whole HU and its number of labelled voxels.
    """

    image_error: str = ""
    labels_error: str = ""
    shape: tuple[int, int, int] = _NO_SHAPE
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_same_grid: bool = False
    num_without_value: int = 0
    hu_range: tuple[float, float] = (0.0, 0.0)
    off_whole: float = 0.0
    counts: tuple[tuple[int, int], ...] = ()
    lesions_mm3: tuple[float, ...] = ()
    histogram: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def facts_from_json(values: dict[str, Any]) -> CaseFacts:
    """Return the facts that `CaseFacts.to_json` took apart."""
    pairs = {
        name: tuple((int(first), int(second)) for first, second in values[name])
        for name in ("counts", "histogram")
    }
    plain = ("shape", "spacing_mm", "hu_range", "lesions_mm3")
    return CaseFacts(**{**values, **{name: tuple(values[name]) for name in plain}, **pairs})


def measure(entry: Entry) -> CaseFacts:
    """Read a case and measure it; what cannot be read is a fact too."""
    image_error, labels_error = _header_error(entry, "image"), _header_error(entry, "labels")
    if image_error or labels_error:
        return CaseFacts(image_error=image_error, labels_error=labels_error)
    try:
        values, grid = read_values(entry.image)
    except IsletError as error:
        return CaseFacts(image_error=error.message)
    try:
        stored, labels_grid = read_values(entry.labels)
    except IsletError as error:
        return CaseFacts(labels_error=error.message, shape=grid.shape, spacing_mm=grid.spacing_mm)
    known = _known(values)
    off_whole, counts = _count(stored)
    meaning = _meanings(stored, entry)
    is_same_grid = grid.is_same_as(labels_grid)
    return CaseFacts(
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        is_same_grid=is_same_grid,
        num_without_value=int(values.size - known.size),
        hu_range=(float(known.min()), float(known.max())) if known.size else (0.0, 0.0),
        off_whole=off_whole,
        counts=counts,
        lesions_mm3=_lesions_mm3(meaning == _LESION, labels_grid),
        histogram=_histogram(values[meaning > 0]) if is_same_grid else (),
    )


def _header_error(entry: Entry, which: str) -> str:
    try:
        read_grid(entry.image if which == "image" else entry.labels)
    except IsletError as error:
        return error.message
    except OSError:
        return "The file cannot be read."
    return ""


def _count(stored: NDArray[np.generic]) -> tuple[float, tuple[tuple[int, int], ...]]:
    """Count the label values, slice by slice so that a large map needs no second one.

    Returns:
        Largest distance from a whole number, and (value, count); what lies beyond 0 to 255
        counts as -1 or 256.
    """
    off_whole = 0.0
    totals = np.zeros(258, np.int64)
    for plane in stored:
        numbers = np.nan_to_num(np.asarray(plane, np.float64), nan=-0.5, posinf=1e9, neginf=-1e9)
        whole = np.rint(numbers)
        off_whole = max(off_whole, float(np.abs(numbers - whole).max()))
        bins = np.clip(whole, -1, 256).astype(np.int64) + 1
        totals += np.bincount(bins.ravel(), minlength=258)
    return off_whole, tuple((int(bin) - 1, int(totals[bin])) for bin in np.flatnonzero(totals))


def _meanings(stored: NDArray[np.generic], entry: Entry) -> NDArray[np.uint8]:
    meaning = np.zeros(stored.shape, np.uint8)
    for value, structure in entry.values:
        if structure:
            # Half-way counts as neither, so that probabilities are no lesions.
            meaning[_is_near(stored, value)] = structure
    return meaning


def _is_near(stored: NDArray[np.generic], value: int) -> NDArray[np.bool_]:
    if stored.dtype.kind in "iu":
        return stored == value
    return np.abs(np.asarray(stored, np.float32) - value) < 0.25


def _lesions_mm3(lesion: NDArray[np.bool_], grid: Geometry) -> tuple[float, ...]:
    # SciPy's annotation lacks that it gives a pair.
    connected: Any = ndimage.label
    boxes = ndimage.find_objects(lesion.astype(np.uint8))
    if not boxes or boxes[0] is None:
        return ()
    pieces = np.asarray(connected(lesion[boxes[0]], _HOW_CONNECTED)[0])
    sizes = np.bincount(pieces.ravel())[1:]
    return tuple(float(size) * grid.voxel_volume_mm3 for size in np.sort(sizes)[::-1])


def _histogram(values: NDArray[np.generic]) -> tuple[tuple[int, int], ...]:
    lowest, highest = _HU_LIMITS
    bins = np.rint(np.clip(_known(values), lowest, highest)).astype(np.int64) - lowest
    counts = np.bincount(bins)
    return tuple((int(bin) + lowest, int(counts[bin])) for bin in np.flatnonzero(counts))


def _known(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values
