"""Draws a small cube whose faces carry the letters of the patient's sides."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF, QTransform

from app import theme
from app.views.camera import Camera

# letter, outward normal, and the direction of its writing, all LPS; preset that looks at it
_FACES = (
    ("L", (1, 0, 0), (0, 1, 0), "left"),
    ("R", (-1, 0, 0), (0, -1, 0), "right"),
    ("P", (0, 1, 0), (-1, 0, 0), "posterior"),
    ("A", (0, -1, 0), (1, 0, 0), "anterior"),
    ("H", (0, 0, 1), (1, 0, 0), "head"),
    ("F", (0, 0, -1), (1, 0, 0), "feet"),
)


def visible_faces(camera: Camera, centre: QPointF, half_px: float) -> list[tuple[str, QPolygonF]]:
    """Return (preset, corners) of the faces that look at the viewer, far ones first."""
    right, up, towards = camera.axes
    faces = []
    for _, normal, writing, preset in _FACES:
        facing = float(np.dot(normal, towards))
        if facing <= 0.02:
            continue
        across = np.asarray(writing, dtype=np.float64)
        upwards = np.cross(normal, across)
        corners = [np.asarray(normal) + a * across + b * upwards for a, b in _SQUARE]
        polygon = QPolygonF(
            [
                QPointF(
                    centre.x() + float(right @ corner) * half_px,
                    centre.y() - float(up @ corner) * half_px,
                )
                for corner in corners
            ]
        )
        faces.append((facing, preset, polygon))
    return [(preset, polygon) for _, preset, polygon in sorted(faces, key=lambda face: face[0])]


def paint_cube(painter: QPainter, camera: Camera, centre: QPointF, half_px: float) -> None:
    """Draw the cube as the camera sees it; writing turns with its face."""
    letters = {preset: letter for letter, _, _, preset in _FACES}
    towards = camera.axes[2]
    normals = {preset: normal for _, normal, _, preset in _FACES}
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for preset, polygon in visible_faces(camera, centre, half_px):
        facing = float(np.dot(normals[preset], towards))
        ground = QColor(theme.RAISED).lighter(int(100 + 70 * facing))
        ground.setAlpha(235)
        painter.setBrush(ground)
        painter.setPen(QPen(QColor(theme.QUIET_TEXT), 1))
        painter.drawPolygon(polygon)
        if facing > 0.25:
            _paint_letter(painter, polygon, letters[preset])


_SQUARE = ((-1, 1), (1, 1), (1, -1), (-1, -1))
_UNIT = QPolygonF([QPointF(0, 0), QPointF(20, 0), QPointF(20, 20), QPointF(0, 20)])


def _paint_letter(painter: QPainter, face: QPolygonF, letter: str) -> None:
    onto_face = QTransform()
    if not QTransform.quadToQuad(_UNIT, face, onto_face):
        return
    painter.save()
    painter.setTransform(onto_face, combine=True)
    painter.setFont(theme.picture_font(14, bold=True))
    painter.setPen(QColor(theme.LETTER))
    painter.drawText(_UNIT.boundingRect(), Qt.AlignmentFlag.AlignCenter, letter)
    painter.restore()
