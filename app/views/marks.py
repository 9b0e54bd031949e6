"""The marks every pane carries: letters, crosshair, scale bar and the research-use strip."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app import theme
from app.views.corner_text import edged_text

STRIP = 18
"""Height of the strip below the picture, in device independent pixels."""

_LETTER = 18
_SCALE_BAR = 22
_GAP_AT_CROSS = 14
_GAP_AT_BOX = 5
_CROSS_PANES = {
    "axial": ("sagittal", "coronal"),
    "coronal": ("sagittal", "axial"),
    "sagittal": ("coronal", "axial"),
}
_SCALE_CM = (20, 10, 5, 2, 1, 0.5, 0.2, 0.1)


def paint_strip(painter: QPainter, pane: QRectF, name: str, title: str, *, active: bool) -> None:
    """Draw the strip below a picture: which pane it is, and what it must not be used for."""
    strip = QRectF(pane.left(), pane.bottom() - STRIP, pane.width(), STRIP)
    painter.fillRect(strip, QColor(theme.BACKGROUND))
    colour = theme.pane_colour(name)
    painter.fillRect(QRectF(strip.left(), strip.top(), strip.width(), 1), colour.darker(240))
    painter.setFont(theme.picture_font(11, bold=active))
    title_width = painter.fontMetrics().horizontalAdvance(title)
    painter.fillRect(QRectF(strip.left() + 7, strip.top() + 6, 7, 7), colour)
    left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
    painter.setPen(colour if active else QColor(theme.QUIET_TEXT))
    painter.drawText(strip.adjusted(19, 0, 0, 0), left, title)
    painter.setFont(theme.picture_font(9, bold=True))
    mark_width = painter.fontMetrics().horizontalAdvance(theme.RESEARCH_USE)
    # Centred where there is room, else pushed to the right of the title; never cut short.
    start = max((strip.width() - mark_width) / 2, 19 + title_width + 8)
    painter.setPen(QColor(theme.RESEARCH))
    painter.drawText(strip.adjusted(start, 0, 0, 0), left, theme.RESEARCH_USE)


def paint_letters(painter: QPainter, pane: QRectF, letters: tuple[str, str, str, str]) -> None:
    """Draw the patient sides on the (left, right, top, bottom) edge."""
    painter.setFont(theme.picture_font(14, bold=True))
    for letter, rect in zip(letters, letter_places(pane), strict=True):
        edged_text(painter, rect, Qt.AlignmentFlag.AlignCenter, letter, theme.LETTER)


def letter_places(pane: QRectF) -> tuple[QRectF, QRectF, QRectF, QRectF]:
    """Return where the letters of the (left, right, top, bottom) edge lie."""
    middle = pane.center()
    half = _LETTER / 2
    return (
        QRectF(pane.left() + 4, middle.y() - half, _LETTER, _LETTER),
        QRectF(pane.right() - 4 - _LETTER, middle.y() - half, _LETTER, _LETTER),
        QRectF(middle.x() - half, pane.top() + 4, _LETTER, _LETTER),
        QRectF(middle.x() - half, pane.bottom() - 4 - _LETTER, _LETTER, _LETTER),
    )


def paint_crosshair(
    painter: QPainter, pane: QRectF, centre: QPointF, name: str, boxes: Sequence[QRectF]
) -> None:
    """Draw the crosshair, each line in the colour of the plane it stands for.

    Args:
        painter: Draws, clipped to the pane.
        pane: Where the picture lies.
        centre: Where the lines would meet; they stop short of it.
        name: The pane: "axial", "coronal" or "sagittal".
        boxes: Boxes of findings; lines do not run through one that holds `centre`.
    """
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    upright, level = (theme.pane_colour(other) for other in _CROSS_PANES[name])
    x, y, gap = centre.x(), centre.y(), _GAP_AT_CROSS
    hole = QRectF(x - gap, y - gap, 2 * gap, 2 * gap)
    for box in boxes:
        if box.contains(centre):
            hole = hole.united(box.adjusted(-_GAP_AT_BOX, -_GAP_AT_BOX, _GAP_AT_BOX, _GAP_AT_BOX))
    # The lines stop short of the letters and of the scale bar's number.
    side = _LETTER + 8
    inner = pane.adjusted(side, side, -side, -side - _SCALE_BAR)
    for colour, lines in (
        (upright, (QLineF(x, inner.top(), x, hole.top()),
                   QLineF(x, hole.bottom(), x, inner.bottom()))),
        (level, (QLineF(inner.left(), y, hole.left(), y),
                 QLineF(hole.right(), y, inner.right(), y))),
    ):  # fmt: skip
        lines = [line for line in lines if line.dx() + line.dy() > 0]
        colour.setAlpha(165)
        painter.setPen(QPen(colour, 1))
        painter.drawLines(lines)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def scale_bar(px_per_mm: float, longest_px: float) -> tuple[float, float]:
    """Return the (length in cm, length in pixels) of the longest round bar that fits."""
    for length_cm in _SCALE_CM:
        length_px = length_cm * 10 * px_per_mm
        if length_px <= longest_px:
            return length_cm, length_px
    return _SCALE_CM[-1], _SCALE_CM[-1] * 10 * px_per_mm


def paint_scale_bar(painter: QPainter, pane: QRectF, px_per_mm: float) -> None:
    """Draw a scale bar above the letter of the bottom edge."""
    length_cm, length_px = scale_bar(px_per_mm, scale_bar_room(pane))
    x, y = round(pane.center().x() - length_px / 2), round(pane.bottom() - 4 - _LETTER - 6)
    lines = [
        QLineF(x, y, x + length_px, y),
        QLineF(x, y - 4, x, y + 4),
        QLineF(x + length_px, y - 4, x + length_px, y + 4),
    ]
    if length_cm >= 2:
        ticks = int(length_cm) if length_cm <= 10 else int(length_cm / 5)
        at = [x + length_px * i / ticks for i in range(1, ticks)]
        lines += [QLineF(tick, y - 2, tick, y + 2) for tick in at]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    for colour, width in ((QColor(0, 0, 0, 170), 3), (QColor(theme.PICTURE_TEXT), 1)):
        painter.setPen(QPen(colour, width))
        painter.drawLines(lines)
    painter.setFont(theme.picture_font(10))
    text = QRectF(pane.center().x() - 40, y - 19, 80, 14)
    edged_text(painter, text, Qt.AlignmentFlag.AlignCenter, f"{length_cm:g} cm", theme.PICTURE_TEXT)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def scale_bar_room(pane: QRectF) -> float:
    """Return how long the scale bar may be at most, in pixels."""
    return min(160.0, pane.width() * 0.24)


def scale_bar_place(pane: QRectF) -> QRectF:
    """Return where the scale bar with its number may lie."""
    room, bottom = scale_bar_room(pane), pane.bottom() - 4 - _LETTER
    return QRectF(pane.center().x() - room / 2, bottom - 26, room, 26)


def paint_notice(painter: QPainter, pane: QRectF, text: str) -> None:
    """Draw a quiet notice in the middle of an empty pane."""
    painter.setFont(theme.picture_font(13))
    painter.setPen(QColor(theme.QUIET_TEXT))
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(pane.adjusted(20, 20, -20, -20), flags, text)
