"""The words in the four corners of a pane, fitted to its size."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter

from app import theme
from engine.case import Case

MARGIN = 7
LINE = 15
_FONT_PX = 12
_LETTER_ROOM = 22


@dataclass(frozen=True, slots=True)
class Line:
    """One line of corner text.

    Args:
        text: What it says.
        rank: 0 is always shown; the highest rank goes first when the pane is small.
        quiet: Whether it is drawn in the quieter colour.
    """

    text: str
    rank: int = 0
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Corners:
    """The lines of the four corners, each from top to bottom."""

    top_left: tuple[Line, ...] = ()
    top_right: tuple[Line, ...] = ()
    bottom_left: tuple[Line, ...] = ()
    bottom_right: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """A line with its place in the pane."""

    line: Line
    text: str
    rect: QRectF
    align_right: bool


def identity_lines(case: Case) -> tuple[Line, ...]:
    """Return who the picture shows, for the top left corner."""
    who = case.identity
    born = " ".join(part for part in (_date(who.birth_date), who.sex) if part)
    lines = (
        Line(who.patient_name.replace("^", " ").strip(), 0),
        Line(f"ID {who.patient_id}" if who.patient_id else "", 0, quiet=True),
        Line(born, 2, quiet=True),
        Line(f"Study {_date(who.study_date)}" if who.study_date else "", 1, quiet=True),
        Line(who.study_description, 4, quiet=True),
    )
    return tuple(line for line in lines if line.text)


def series_lines(case: Case) -> tuple[Line, ...]:
    """Return what the picture shows, for the top right corner."""
    who = case.identity
    title = f"{who.series_number}  {who.series_description}".strip()
    lines = (
        Line(title, 0),
        Line(f"{case.phase.capitalize()} phase" if case.phase else "", 0, quiet=True),
        Line(who.acquisition, 3, quiet=True),
    )
    return tuple(line for line in lines if line.text)


def place(corners: Corners, pane: QRectF, metrics: QFontMetrics, keep_free: float) -> list[Placed]:
    """Fit the lines into the corners of a pane.

    Args:
        corners: The lines.
        pane: Where they may lie.
        metrics: Of the font they are drawn in.
        keep_free: Width in the middle of the bottom edge that the scale bar needs.
    """
    # A quarter of the height for each corner leaves half of it to the picture and the letters.
    room = max(2, int(pane.height() / 4 / LINE))
    placed: list[Placed] = []
    for lines, at_bottom, at_right in (
        (corners.top_left, False, False),
        (corners.top_right, False, True),
        (corners.bottom_left, True, False),
        (corners.bottom_right, True, True),
    ):
        kept = _most_important(lines, room)
        middle = keep_free if at_bottom else _LETTER_ROOM
        width = (pane.width() - middle) / 2 - 2 * MARGIN
        top = pane.bottom() - MARGIN - LINE * len(kept) if at_bottom else pane.top() + MARGIN
        left = pane.right() - MARGIN - width if at_right else pane.left() + MARGIN
        for number, line in enumerate(kept):
            text = metrics.elidedText(line.text, Qt.TextElideMode.ElideRight, int(width))
            rect = QRectF(left, top + number * LINE, width, LINE)
            placed.append(Placed(line, text, rect, at_right))
    return placed


def paint_corners(painter: QPainter, corners: Corners, pane: QRectF, keep_free: float) -> None:
    """Draw the corner text with a dark edge, readable on bone and on air."""
    painter.setFont(theme.picture_font(_FONT_PX))
    for item in place(corners, pane, painter.fontMetrics(), keep_free):
        align = Qt.AlignmentFlag.AlignRight if item.align_right else Qt.AlignmentFlag.AlignLeft
        colour = theme.PICTURE_QUIET_TEXT if item.line.quiet else theme.PICTURE_TEXT
        edged_text(painter, item.rect, align | Qt.AlignmentFlag.AlignVCenter, item.text, colour)


def occupied(corners: Corners, pane: QRectF, keep_free: float) -> list[QRectF]:
    """Return where `paint_corners` writes."""
    metrics = QFontMetrics(theme.picture_font(_FONT_PX))
    rects = []
    for item in place(corners, pane, metrics, keep_free):
        width = min(item.rect.width(), metrics.horizontalAdvance(item.text))
        left = item.rect.right() - width if item.align_right else item.rect.left()
        rects.append(QRectF(left, item.rect.top(), width, item.rect.height()))
    return [rect for rect in rects if rect.width() > 0]


def edged_text(
    painter: QPainter, rect: QRectF, align: Qt.AlignmentFlag, text: str, colour: str | QColor
) -> None:
    """Draw text with a dark edge of one pixel."""
    painter.setPen(QColor(0, 0, 0, 190))
    for shift in (QPointF(1, 1), QPointF(-1, 0), QPointF(0, -1), QPointF(1, 0), QPointF(0, 1)):
        painter.drawText(rect.translated(shift), align, text)
    painter.setPen(QColor(colour))
    painter.drawText(rect, align, text)


def _most_important(lines: tuple[Line, ...], room: int) -> tuple[Line, ...]:
    kept = sorted(range(len(lines)), key=lambda i: (lines[i].rank, i))[:room]
    return tuple(lines[i] for i in sorted(kept))


def _date(written: str) -> str:
    """Write a DICOM date, 20210315, as 2021-03-15; leave anything else as it is."""
    if len(written) == 8 and written.isdigit():
        return f"{written[:4]}-{written[4:6]}-{written[6:]}"
    return written
