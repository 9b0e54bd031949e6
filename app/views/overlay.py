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
from app.views.tags import finding_colour, finding_text, paint_tag, tag_place
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


def shapes_on(
    labels: LabelMap, plane: Plane, number: int, findings: tuple[Finding, ...]
) -> tuple[Shape, ...]:
    """Return the borders of every structure on one slice.

    Args:
        labels: Structures on the grid of `plane`.
        plane: The plane that is shown.
        number: The slice.
        findings: Borders inside the box of an outlined finding of the same structure belong to it.
    """
    picture = plane.slice_of(labels.labels, number)
    shapes: list[Shape] = []
    for value in np.unique(picture):
        structure = labels.names.get(int(value))
        if value == 0 or structure is None:
            continue
        own = tuple(f for f in findings if f.structure == structure and f.is_outlined)
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


def paint_boxes(
    painter: QPainter, marks: tuple[BoxMark, ...], pane: QRectF, reserved: list[QRectF]
) -> list[tuple[str, QRectF]]:
    """Draw boxes with their labels beside them.

    Args:
        painter: Draws, clipped to the pane.
        marks: The boxes.
        pane: Where labels may lie.
        reserved: What labels must not cover, as far as there is room.

    Returns:
        (finding_id, place) of every label.
    """
    for mark in marks:
        _paint_box(painter, mark)
    tags: list[tuple[str, QRectF]] = []
    for mark in marks:
        taken = [*reserved, *(rect for _, rect in tags)]
        others = [other.rect for other in marks if other is not mark]
        place = tag_place(painter, mark.text, mark.rect, pane, taken, others)
        if place is not None:
            paint_tag(painter, place, mark.text, mark.colour, selected=mark.selected)
            tags.append((mark.finding.finding_id, place))
    return tags


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


def _pen(colour: QColor, width: float, dashes: list[float] | None) -> QPen:
    pen = QPen(colour, width)
    pen.setCosmetic(True)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    if dashes:
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        pen.setDashPattern(dashes)
    return pen
