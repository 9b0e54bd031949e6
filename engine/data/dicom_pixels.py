"""Decode the pixels of DICOM frames to Hounsfield units."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from engine.data.dicom_headers import BROKEN_FILE, Frame, value

AIR_HU = -1024
_NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_INT16 = np.iinfo(np.int16)

HuArray = NDArray[np.int16] | NDArray[np.float32]


def decode_frames(frames: Sequence[Frame]) -> Iterator[tuple[int, HuArray | None]]:
    """Decode frames to HU in a pool of threads.

    Yields:
        (place in `frames`, (rows, columns) array), in the order of the files; int16 where
        that is exact, else float32. None stands for a frame that is cut short or damaged.
    """
    numbered = sorted(enumerate(frames), key=lambda item: (item[1].path, item[1].number))
    files = [list(group) for _, group in groupby(numbered, key=lambda item: item[1].path)]
    # One file at a time where a file holds many frames: decoding all of them ahead costs memory.
    pool = ThreadPoolExecutor(max_workers=max(2, min(8, os.cpu_count() or 2)))
    try:
        single = [group[0] for group in files if len(group) == 1]
        yield from pool.map(_decode_numbered, single)
    finally:
        pool.shutdown(cancel_futures=True)
    for group in files:
        if len(group) > 1:
            yield from _decode_file(group)


def _decode_numbered(item: tuple[int, Frame]) -> tuple[int, HuArray | None]:
    return next(iter(_decode_file([item])))


def _decode_file(items: list[tuple[int, Frame]]) -> Iterator[tuple[int, HuArray | None]]:
    done = 0
    try:
        dataset = _open(items[0][1].path)
        numbers = [frame.number for _, frame in items]
        for stored, (place, frame) in zip(_pictures(dataset, numbers), items, strict=True):
            yield place, _to_hu(stored, dataset, frame)
            done += 1
    except BROKEN_FILE:
        # A cut file loses this frame and all behind it.
        yield from ((place, None) for place, _ in items[done:])


def _open(path: Path) -> Dataset:
    dataset = pydicom.dcmread(path, force=True)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        meta.TransferSyntaxUID = _guessed_syntax(dataset)
    dataset.file_meta = meta
    return dataset


def _guessed_syntax(dataset: Dataset) -> UID:
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _pictures(dataset: Dataset, numbers: list[int]) -> Iterator[NDArray[np.generic]]:
    if numbers == [0] and not value(dataset, "NumberOfFrames"):
        yield dataset.pixel_array
    else:
        yield from iter_pixels(dataset, indices=numbers)


def _to_hu(stored: NDArray[np.generic], dataset: Dataset, frame: Frame) -> HuArray:
    if stored.shape != frame.shape:
        raise ValueError(f"the picture is {stored.shape}, the header says {frame.shape}")
    values = _without_unused_bits(stored, dataset)
    slope, intercept = frame.rescale or (1.0, 0.0)
    is_integral = values.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
    if not is_integral:
        hu = values.astype(np.float64) * slope + intercept
        return _without_padding(hu, values, dataset, slope, intercept).astype(np.float32)
    hu = values.astype(np.int64 if values.itemsize > 2 else np.int32)
    hu = _without_padding(hu * int(slope) + int(intercept), values, dataset, slope, intercept)
    fits = hu.min() >= _INT16.min and hu.max() <= _INT16.max
    return hu.astype(np.int16) if fits else hu.astype(np.float32)


def _without_unused_bits(stored: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """Drop bits above BitsStored, where old scanners keep overlays."""
    unused = int(value(dataset, "BitsAllocated") or 16) - int(value(dataset, "BitsStored") or 16)
    is_native = dataset.file_meta.TransferSyntaxUID in _NATIVE
    if unused <= 0 or not is_native or stored.dtype.kind not in "iu":
        return stored
    return (stored << unused) >> unused  # pyright: ignore[reportOperatorIssue]


def _without_padding(
    hu: NDArray[np.generic],
    stored: NDArray[np.generic],
    dataset: Dataset,
    slope: float,
    intercept: float,
) -> NDArray[np.generic]:
    """Make padding around the scanned circle air, where it lies below air."""
    padding = value(dataset, "PixelPaddingValue")
    if not isinstance(padding, int | float) or padding * slope + intercept >= AIR_HU:
        return hu
    return np.where(stored == padding, hu.dtype.type(AIR_HU), hu)
