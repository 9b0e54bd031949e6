"""Draws label maps and findings over a slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF, QTransform

from app import theme
from app.session import Layer
from app.views.outline import trace_borders
from app.views.plane import Plane
from engine.finding import Box, Finding, Review
from engine.volume import LabelMap

_OUTLINE_PX = 1.5
_DASHES = [4.0, 3.0]
_BOX_DASHES = [5.0, 4.0]
_TOUCH_MM = 0.6  # ours: a border runs half a voxel outside the centres a box was made from


@dataclass(frozen=True, slots=True)
class Shape:
    """One connected border of a structure on a slice.

    Args:
        structure: Name of the structure.
        finding_id: The finding it belongs to, or None.
        path: In plane coordinates (voxels, right and down).
    """

    structure: str
    finding_id: str | None
    path: QPainterPath


@dataclass(frozen=True, slots=True)
class BoxMark:
    """The box of a finding as it is drawn in a pane, in pane pixels."""

    finding: Finding
    rect: QRectF
    colour: QColor
    dashed: bool
    selected: bool

    @property
    def text(self) -> str:
        """The structure and how likely it is, e.g. "Lesion 93 %"."""
        return finding_text(self.finding)


def finding_text(finding: Finding) -> str:
    """Return how a finding is called in a picture, e.g. "Lesion 93 %"."""
    return f"{finding.structure.capitalize()} {finding.probability * 100:.0f} %"


def shapes_on(
    labels: LabelMap, plane: Plane, number: int, findings: tuple[Finding, ...]
) -> tuple[Shape, ...]:
    """Return the borders of every structure on one slice.

    Args:
        labels: Structures on the grid of `plane`.
        plane: The plane that is shown.
        number: The slice.
        findings: Borders inside the box of a finding of the same structure belong to it.
    """
    picture = plane.slice_of(labels.labels, number)
    shapes: list[Shape] = []
    for value in np.unique(picture):
        structure = labels.names.get(int(value))
        if value == 0 or structure is None:
            continue
        own = tuple(f for f in findings if f.structure == structure)
        groups: dict[str | None, QPainterPath] = {}
        for border in _borders(picture == value):
            finding_id = _owner(border, plane, number, own)
            path = groups.setdefault(finding_id, QPainterPath())
            path.addPolygon(QPolygonF([QPointF(x, y) for x, y in border.tolist()]))
            path.closeSubpath()
        shapes.extend(Shape(structure, owner, path) for owner, path in groups.items())
    return tuple(shapes)


def paint_shapes(
    painter: QPainter,
    shapes: tuple[Shape, ...],
    to_pane: QTransform,
    *,
    layers: tuple[Layer, ...],
    findings: tuple[Finding, ...],
    is_ai: bool,
) -> None:
    """Draw borders and tints; what an AI drew is dashed until a reader confirmed it."""
    by_structure = {layer.structure: layer for layer in layers}
    reviews = {finding.finding_id: finding.review for finding in findings}
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for shape in shapes:
        layer = by_structure.get(shape.structure, Layer(shape.structure))
        if not layer.visible:
            continue
        review = reviews.get(shape.finding_id or "")
        rejected = review is Review.REJECTED
        colour = QColor(theme.REJECTED) if rejected else theme.structure_colour(shape.structure)
        path = to_pane.map(shape.path)
        if layer.filled and not rejected:
            tint = QColor(colour)
            tint.setAlphaF(min(1.0, max(0.0, layer.opacity)))
            painter.fillPath(path, tint)
        if layer.outlined or rejected:
            dashed = is_ai and review is not Review.CONFIRMED
            painter.strokePath(path, _pen(colour, _OUTLINE_PX, _DASHES if dashed else None))


def box_marks(
    plane: Plane,
    number: int,
    to_pane: QTransform,
    *,
    findings: tuple[Finding, ...],
    layers: tuple[Layer, ...],
    selected_id: str | None,
    is_ai: bool,
) -> tuple[BoxMark, ...]:
    """Return the boxes that this slice cuts; those of rejected findings only while selected."""
    boxed = {layer.structure: layer.boxes for layer in layers}
    marks: list[BoxMark] = []
    for finding in findings:
        selected = finding.finding_id == selected_id
        rejected = finding.review is Review.REJECTED
        if not boxed.get(finding.structure, True) or (rejected and not selected):
            continue
        rect = _box_on(finding.box_mm, plane, number)
        if rect is None:
            continue
        marks.append(
            BoxMark(
                finding=finding,
                rect=to_pane.mapRect(rect),
                colour=finding_colour(finding),
                dashed=is_ai and finding.review is not Review.CONFIRMED,
                selected=selected,
            )
        )
    return tuple(marks)


def paint_boxes(painter: QPainter, marks: tuple[BoxMark, ...], pane: QRectF) -> list[QRectF]:
    """Draw boxes with their labels beside them, and return the places of the labels in order."""
    taken: list[QRectF] = []
    painter.setFont(theme.picture_font(11, bold=True))
    for mark in marks:
        _paint_box(painter, mark)
        width = painter.fontMetrics().horizontalAdvance(mark.text) + 10
        label = _free_place(QRectF(0, 0, width, 17), mark.rect, pane, taken)
        paint_tag(painter, label, mark.text, mark.colour, selected=mark.selected)
        taken.append(label)
    return taken


def paint_tag(
    painter: QPainter, rect: QRectF, text: str, colour: QColor, *, selected: bool
) -> None:
    """Draw a small label on a dark ground, or on its own colour while it is selected."""
    ground = QColor(colour) if selected else QColor(8, 11, 15, 205)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ground)
    painter.drawRoundedRect(rect, 3, 3)
    painter.setPen(QColor(theme.ON_ACCENT) if selected else colour.lighter(115))
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)


def finding_colour(finding: Finding) -> QColor:
    """Return the colour of a finding's marks: grey once it is rejected."""
    if finding.review is Review.REJECTED:
        return QColor(theme.REJECTED)
    return theme.structure_colour(finding.structure)


def _borders(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    top, left = int(rows[0]), int(columns[0])
    cropped = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    return [border + np.array([left, top]) for border in trace_borders(cropped)]


def _owner(
    border: NDArray[np.float64], plane: Plane, number: int, findings: tuple[Finding, ...]
) -> str | None:
    if not findings:
        return None
    x, y = border.mean(axis=0)
    # The mean of a crescent may lie outside it, but never outside its box.
    position = np.asarray(plane.to_patient(float(x), float(y), number))
    for finding in findings:
        lower, upper = np.asarray(finding.box_mm.lower_mm), np.asarray(finding.box_mm.upper_mm)
        if (position >= lower - _TOUCH_MM).all() and (position <= upper + _TOUCH_MM).all():
            return finding.finding_id
    return None


def _box_on(box: Box, plane: Plane, number: int) -> QRectF | None:
    ends = np.array([box.lower_mm, box.upper_mm])
    corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
    through = plane.geometry.to_index(corners)[:, plane.through]
    if not through.min() - 1e-6 <= number <= through.max() + 1e-6:
        return None
    (left, top), (right, bottom) = (f(plane.to_plane(corners), axis=0) for f in (np.min, np.max))
    return QRectF(QPointF(left, top), QPointF(right, bottom))


def _paint_box(painter: QPainter, mark: BoxMark) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if mark.selected:
        painter.setPen(_pen(QColor(0, 0, 0, 170), 4.5, None))
        painter.drawRect(mark.rect)
    width = 2.2 if mark.selected else 1.3
    painter.setPen(_pen(mark.colour, width, _BOX_DASHES if mark.dashed else None))
    painter.drawRect(mark.rect)


def _free_place(size: QRectF, box: QRectF, pane: QRectF, taken: list[QRectF]) -> QRectF:
    """Choose a place beside the box, inside the pane, and off the other labels if possible."""
    gap = 3
    places = (
        QPointF(box.left(), box.top() - size.height() - gap),
        QPointF(box.left(), box.bottom() + gap),
        QPointF(box.right() + gap, box.top()),
        QPointF(box.left() - size.width() - gap, box.top()),
    )
    for place in places:
        rect = QRectF(place, size.size())
        if pane.contains(rect) and not any(rect.intersects(other) for other in taken):
            return rect
    x = min(max(pane.left() + 2, places[0].x()), pane.right() - size.width() - 2)
    y = min(max(pane.top() + 2, places[0].y()), pane.bottom() - size.height() - 2)
    return QRectF(QPointF(x, y), size.size())


def _pen(colour: QColor, width: float, dashes: list[float] | None) -> QPen:
    pen = QPen(colour, width)
    pen.setCosmetic(True)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    if dashes:
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        pen.setDashPattern(dashes)
    return pen
