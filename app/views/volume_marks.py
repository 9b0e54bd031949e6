"""The marks over the three-dimensional picture, at the resolution of the device."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app import theme
from app.session import Layer
from app.views.camera import Camera
from app.views.tags import finding_colour, finding_text, paint_tag, tag_place
from engine.finding import Finding, Review

_DASHES = [5.0, 4.0]


def paint_findings(
    painter: QPainter,
    camera: Camera,
    pane: QRectF,
    findings: tuple[Finding, ...],
    *,
    layers: tuple[Layer, ...],
    selected_id: str | None,
    is_ai: bool,
) -> list[tuple[str, QRectF]]:
    """Draw the boxes of findings with their labels.

    Returns:
        (finding_id, place) of every label.
    """
    boxed = {layer.structure: layer.boxes for layer in layers}
    shown = [
        finding
        for finding in findings
        if boxed.get(finding.structure, True)
        and (finding.review is not Review.REJECTED or finding.finding_id == selected_id)
    ]
    size = (pane.width(), pane.height())
    corners = [camera.project(_corners(finding), size) for finding in shown]
    for finding, points in zip(shown, corners, strict=True):
        dashed = is_ai and finding.review is not Review.CONFIRMED
        selected = finding.finding_id == selected_id
        _paint_edges(painter, points, finding_colour(finding), dashed=dashed, selected=selected)
    boxes = [_outer(points) for points in corners]
    tags: list[tuple[str, QRectF]] = []
    for finding, box in zip(shown, boxes, strict=True):
        text, taken = finding_text(finding), [rect for _, rect in tags]
        others = [other for other in boxes if other is not box]
        place = tag_place(painter, text, box, pane, taken, others)
        if place is not None:
            selected = finding.finding_id == selected_id
            paint_tag(painter, place, text, finding_colour(finding), selected=selected)
            tags.append((finding.finding_id, place))
    return tags


def paint_cursor(painter: QPainter, at: QPointF) -> None:
    """Draw a small cross, open in its middle."""
    x, y = at.x(), at.y()
    arms = [(x - 9, y), (x - 3, y), (x + 3, y), (x + 9, y)]
    arms += [(x, y - 9), (x, y - 3), (x, y + 3), (x, y + 9)]
    points = [QPointF(*arm) for arm in arms]
    lines = [QLineF(a, b) for a, b in list(pairwise(points))[::2]]
    for colour, width in ((QColor(0, 0, 0, 160), 3), (QColor(theme.ACCENT), 1.4)):
        painter.setPen(QPen(colour, width))
        painter.drawLines(lines)


def paint_progress(painter: QPainter, pane: QRectF, text: str) -> None:
    """Say in the lower right corner what is being done."""
    painter.setFont(theme.picture_font(11))
    painter.setPen(QColor(theme.QUIET_TEXT))
    flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
    painter.drawText(pane.adjusted(0, 0, -8, -8), flags, text)


def _corners(finding: Finding) -> list[list[float]]:
    low, high = finding.box_mm.lower_mm, finding.box_mm.upper_mm
    return [[(low, high)[(i >> axis) & 1][axis] for axis in range(3)] for i in range(8)]


def _outer(corners: np.ndarray) -> QRectF:
    (left, top), (right, bottom) = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    return QRectF(QPointF(left, top), QPointF(right, bottom))


def _paint_edges(
    painter: QPainter, corners: np.ndarray, colour: QColor, *, dashed: bool, selected: bool
) -> None:
    pen = QPen(colour, 2.0 if selected else 1.2)
    if dashed:
        pen.setDashPattern(_DASHES)
    painter.setPen(pen)
    points = [QPointF(x, y) for x, y, _ in corners.tolist()]
    edges = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]
    painter.drawLines([QLineF(points[a], points[b]) for a, b in edges])
