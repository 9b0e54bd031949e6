"""Turns a slice of HU into a grey picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage


def grey_picture(slice_hu: NDArray, width: float, centre: float, *, inverted: bool) -> QImage:
    """Return the slice under a window.

    Args:
        slice_hu: (rows, columns), int16 or float32, in HU; NaN is shown black.
        width: Width of the window in HU.
        centre: Centre of the window in HU.
        inverted: Whether dense is dark.
    """
    if slice_hu.dtype == np.int16:
        table = _table(width, centre, inverted)
        grey = table[np.ascontiguousarray(slice_hu).view(np.uint16)]
    else:
        grey = _window(np.ascontiguousarray(slice_hu), width, centre)
        grey = 255 - grey if inverted else grey
    rows, columns = grey.shape
    # The image borrows the array's memory; the copy makes it own its pixels.
    return QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()


@lru_cache(maxsize=32)
def _table(width: float, centre: float, inverted: bool) -> NDArray[np.uint8]:
    hu = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float32)
    grey = _window(hu, width, centre)
    return 255 - grey if inverted else grey


def _window(hu: NDArray[np.float32], width: float, centre: float) -> NDArray[np.uint8]:
    scaled = (hu - np.float32(centre - width / 2)) * np.float32(255 / max(width, 1e-6))
    return np.clip(np.nan_to_num(scaled, nan=0.0) + 0.5, 0, 255).astype(np.uint8)
