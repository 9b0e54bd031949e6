"""A finding's key picture: the axial surroundings of its centre."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QLabel

from engine.case import Case
from engine.finding import Finding

_SIZE_PX = 72
# The pancreas preset: a thumbnail is for recognising the lesion, not for reading it.
_WINDOW_HU = (250.0, 70.0)
_FIELD_MM = 80.0


def thumbnail_of(case: Case, finding: Finding) -> QLabel:
    """Return a square picture, 80 mm wide, patient right on its left."""
    label = QLabel()
    label.setFixedSize(_SIZE_PX, _SIZE_PX)
    label.setProperty("role", "thumbnail")
    label.setPixmap(QPixmap.fromImage(axial_patch(case, finding.centre_mm)))
    return label


def axial_patch(case: Case, centre_mm: tuple[float, float, float]) -> QImage:
    """Sample an axial square around `centre_mm` from the volume, nearest voxel.

    Args:
        case: Whose volume is sampled, whatever the orientation of its grid.
        centre_mm: (x, y, z) LPS in mm.
    """
    steps = (np.arange(_SIZE_PX) - (_SIZE_PX - 1) / 2) * (_FIELD_MM / _SIZE_PX)
    # Seen from the feet: screen right is patient left (+x), screen down is posterior (+y).
    x_mm, y_mm = np.meshgrid(centre_mm[0] + steps, centre_mm[1] + steps)
    positions = np.stack([x_mm.ravel(), y_mm.ravel(), np.full(x_mm.size, centre_mm[2])], axis=1)
    indices = np.rint(case.volume.geometry.to_index(positions)).astype(int)
    inside = np.all((indices >= 0) & (indices < case.volume.geometry.shape), axis=1)
    hu = np.full(len(indices), -1024.0)
    hu[inside] = case.volume.voxels_hu[tuple(indices[inside].T)]
    width, centre = _WINDOW_HU
    grey = np.clip((hu - centre) / width + 0.5, 0, 1) * 255
    pixels = grey.astype(np.uint8).reshape(_SIZE_PX, _SIZE_PX)
    image = QImage(pixels.tobytes(), _SIZE_PX, _SIZE_PX, _SIZE_PX, QImage.Format.Format_Grayscale8)
    return image.copy().scaled(_SIZE_PX, _SIZE_PX, mode=Qt.TransformationMode.SmoothTransformation)
