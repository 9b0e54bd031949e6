"""Small labels beside boxes: what they say, where they find room, how they look."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from app import theme
from engine.finding import Finding, Review

_HEIGHT = 17.0
_GAP = 3.0
_EDGE = 2.0


def finding_text(finding: Finding) -> str:
    """Return how a finding is called in a picture, e.g. "Lesion 93 %"."""
    return f"{finding.structure.capitalize()} {finding.probability * 100:.0f} %"


def finding_colour(finding: Finding) -> QColor:
    """Return the colour of a finding's marks: grey once it is rejected."""
    if finding.review is Review.REJECTED:
        return QColor(theme.REJECTED)
    return theme.structure_colour(finding.structure)


def tag_place(
    painter: QPainter,
    text: str,
    box: QRectF,
    pane: QRectF,
    taken: Sequence[QRectF],
    others: Sequence[QRectF] = (),
) -> QRectF | None:
    """Return where a label for `box` lies, or None where the pane shows nothing of the box.

    Args:
        painter: Measures the text.
        text: What the label says.
        box: What the label belongs to; it is not covered unless it fills the pane.
        pane: Where the label has to lie.
        taken: What it must not cover, as far as there is room.
        others: Boxes that it should not cover either, if there is a place left.
    """
    seen = box.intersected(pane)
    if seen.isEmpty():
        return None
    painter.setFont(theme.picture_font(11, bold=True))
    width = painter.fontMetrics().horizontalAdvance(text) + 10
    inner = pane.adjusted(_EDGE, _EDGE, -_EDGE, -_EDGE)
    return _free_place(width, seen, inner, taken, others)


def paint_tag(
    painter: QPainter, rect: QRectF, text: str, colour: QColor, *, selected: bool
) -> None:
    """Draw a small label on a dark ground, or on its own colour while it is selected."""
    painter.setFont(theme.picture_font(11, bold=True))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour) if selected else QColor(theme.TAG_GROUND))
    painter.drawRoundedRect(rect, 3, 3)
    painter.setPen(QColor(theme.ON_ACCENT) if selected else colour.lighter(115))
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)


def _free_place(
    width: float,
    box: QRectF,
    inner: QRectF,
    taken: Sequence[QRectF],
    others: Sequence[QRectF],
) -> QRectF:
    """Look above, below, right and left of the box, then along these sides, then anywhere."""
    beside = [
        QRectF(QPointF(x, y), QPointF(x + width, y + _HEIGHT))
        for x, y in _places_beside(width, box)
    ]
    moved = [_moved_into(place, inner) for place in beside]
    outside = [place for place in (*beside, *moved) if not place.intersects(box)]
    for covered in ((*taken, *others), taken):
        for place in outside:
            if inner.contains(place) and not _hits(place, covered):
                return place
    inside = _moved_into(beside[0], inner)
    while _hits(inside, taken) and inside.bottom() + _HEIGHT + _GAP < inner.bottom():
        inside.translate(0, _HEIGHT + _GAP)
    return inside


def _places_beside(width: float, box: QRectF) -> list[tuple[float, float]]:
    above, below = box.top() - _HEIGHT - _GAP, box.bottom() + _GAP
    right, left = box.right() + _GAP, box.left() - width - _GAP
    places = [(box.left(), above), (box.left(), below), (right, box.top()), (left, box.top())]
    for number in range(1, 4):  # for the labels of neighbours that start at the same corner
        shift = number * (_HEIGHT + _GAP)
        places += [(right, box.top() + shift), (left, box.top() + shift)]
        places += [(box.left(), above - shift), (box.left(), below + shift)]
    return places


def _moved_into(rect: QRectF, inner: QRectF) -> QRectF:
    x = max(inner.left(), min(rect.left(), inner.right() - rect.width()))
    y = max(inner.top(), min(rect.top(), inner.bottom() - rect.height()))
    return QRectF(x, y, rect.width(), rect.height())


def _hits(rect: QRectF, taken: Sequence[QRectF]) -> bool:
    return any(rect.intersects(other) for other in taken)
