"""The box beside the pointer of a chart."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from app import theme

_ROW = 16
_SWATCH = 6


def draw_readout(
    painter: QPainter, rows: Sequence[tuple[str, str]], at: QPointF, room: QRectF
) -> None:
    """Draw `rows` beside `at`, on the side where there is room.

    Args:
        painter: On the chart.
        rows: (text, colour); the first is a heading, the others have a swatch of their colour.
        at: The top of the pointer's line.
        room: Of the whole chart.
    """
    font = theme.picture_font(11)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    width = max(metrics.horizontalAdvance(text) for text, _ in rows) + 24
    box = QRectF(at.x() + 10, at.y() + 4, width, _ROW * len(rows) + 8)
    if box.right() > room.right() - 4:
        box.moveRight(max(at.x() - 10, width + 4))
    box.moveBottom(min(box.bottom(), room.bottom() - 4))
    painter.setPen(QPen(QColor(theme.BORDER), 1))
    painter.setBrush(QColor(theme.PLOT_READOUT))
    painter.drawRoundedRect(box, 5, 5)
    for number, (text, colour) in enumerate(rows):
        top = box.top() + 4 + _ROW * number
        if number:
            painter.fillRect(QRectF(box.left() + 7, top + 5, _SWATCH, _SWATCH), QColor(colour))
        painter.setPen(QColor(theme.TEXT if number else theme.QUIET_TEXT))
        place = QRectF(box.left() + (17 if number else 7), top, width, _ROW)
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, text)
