"""Small asymmetric cases: a bright block on the patient's left, in front, near the head."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from engine.case import Case, Identity
from engine.finding import Box, Finding, Review
from engine.geometry import Geometry, from_spacing
from engine.volume import LabelMap, Remark, Volume

CANONICAL = from_spacing((20, 40, 48), (3.0, 1.5, 1.0), (-30.0, -20.0, 100.0))
MARKER_MM = (8.0, 0.0, 142.0)  # patient left of the middle, in front of it, above it


def turned(*, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Geometry:
    """Return the grid of CANONICAL with its axes in another order and sense."""
    affine, shape = CANONICAL.affine.copy(), CANONICAL.shape
    for axis, flipped in enumerate(flips):
        if flipped:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    affine[:3, :3] = affine[:3, order]
    return Geometry((shape[order[0]], shape[order[1]], shape[order[2]]), affine)


def oblique(degrees: float = 20.0) -> Geometry:
    """Return CANONICAL turned about the patient's long axis."""
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Geometry(CANONICAL.shape, turn @ CANONICAL.affine)


def marked_volume(geometry: Geometry, *, dtype: type = np.int16, remarks: tuple = ()) -> Volume:
    """Return fat with a bright ball of 6 mm at MARKER_MM."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    position = geometry.to_patient(index.reshape(-1, 3))
    near = np.linalg.norm(position - MARKER_MM, axis=1).reshape(geometry.shape) < 6.0
    voxels = np.where(near, 300, -100).astype(dtype)
    return Volume(voxels, geometry, remarks)


def marked_case(geometry: Geometry = CANONICAL, *, unsafe: bool = False) -> Case:
    remarks = (Remark("A slice is missing.", blocks_analysis=True),) if unsafe else ()
    identity = Identity("Muster^Erika", "P-42", "19510304", "F", "20190711", "Staging", "Art", "4")
    volume = marked_volume(geometry, remarks=remarks)
    return Case("case-1", volume, phase="arterial", identity=identity)


def marked_labels(geometry: Geometry = CANONICAL) -> LabelMap:
    """Return a label map whose lesion is the bright ball."""
    voxels = marked_volume(geometry).voxels_hu
    return LabelMap((voxels > 0).astype(np.uint8) * 2, {1: "pancreas", 2: "lesion"}, geometry)


def ball_finding(review: Review = Review.PROPOSED) -> Finding:
    x, y, z = MARKER_MM
    box = Box((x - 6.5, y - 6.5, z - 7.5), (x + 6.5, y + 6.5, z + 7.5))
    return Finding("lesion-1", "lesion", 0.93, MARKER_MM, box, 900, 12, 12, 300, 0, review=review)


def pixels(widget: QWidget) -> np.ndarray:
    """Return what a widget shows: (rows, columns, 3)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).astype(int)
