"""A chart of lines over epochs: axes, a legend, and the values under the pointer."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.panels.training import words
from app.panels.training.chart import (
    Line,
    Span,
    runs_of,
    smoothed,
    span_of,
    ticks_of,
    whole_ticks_of,
)
from app.panels.training.readout import draw_readout

_PADDING = 10.0
_FOOT = 26.0
_LINE_WIDTH = 1.7
_FEW_EPOCHS = 3
_RAW_ALPHA = 70
_SWATCH = 12.0
_DOT = 2.6


class Plot(QWidget):
    """Lines over a common x, drawn by hand so that it costs no more than it shows.

    Args:
        title: Above the lines.
        to_text: Writes a value of the y axis.
        empty_text: Shown while there is nothing to draw.
    """

    enlarge_requested = Signal()

    def __init__(
        self,
        title: str,
        *,
        to_text: Callable[[float], str] = words.figure,
        empty_text: str = "Nothing yet",
    ) -> None:
        super().__init__()
        self.title = title
        self._to_text = to_text
        self._empty_text = empty_text
        self._x_text: Callable[[float], str] = words.figure
        self._x_name = "Epoch"
        self._given: tuple[Line, ...] = ()
        self._shown: tuple[Line, ...] = ()
        self._smoothing = 0.0
        self._is_log = False
        self._x_span: Span | None = None
        self._y_span: Span | None = None
        self._hover_x: float | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(title)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is drawn, smoothed as it is."""
        return self._shown

    @property
    def readout(self) -> tuple[str, ...]:
        """What stands at the pointer: the x, then one value for each line."""
        return tuple(text for text, _colour in self._readout_rows())

    def show_lines(self, lines: tuple[Line, ...]) -> None:
        """Replace the lines."""
        if lines != self._given:
            self._given = lines
            self._refresh()

    def set_smoothing(self, weight: float) -> None:
        """Draw running means that keep `weight` of what was; 0 draws the values themselves."""
        if weight != self._smoothing:
            self._smoothing = weight
            self._refresh()

    def set_log(self, is_log: bool) -> None:
        """Draw the y axis logarithmically."""
        if is_log != self._is_log:
            self._is_log = is_log
            self._refresh()

    def set_x_axis(self, name: str, to_text: Callable[[float], str]) -> None:
        """Name the x axis, and say how its values are written."""
        self._x_name, self._x_text = name, to_text
        self.update()

    def point_at(self, x: float | None) -> None:
        """Show the values at `x`; None shows none."""
        if x != self._hover_x:
            self._hover_x = x
            self.update()

    # Qt's own.

    def sizeHint(self) -> QSize:
        """Ask for room to read a curve in."""
        return QSize(320, 210)

    def minimumSizeHint(self) -> QSize:
        """Stay readable."""
        return QSize(200, 130)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer with the values."""
        area = self._area()
        if self._x_span is not None and area.contains(event.position()):
            self.point_at(self._x_span.value((event.position().x() - area.left()) / area.width()))
        else:
            self.point_at(None)

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the pointer."""
        self.point_at(None)
        super().leaveEvent(event)

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        """Ask for the whole room, or give it back."""
        self.enlarge_requested.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk over the points with the arrows; Return takes the whole room."""
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self._step(1 if event.key() == Qt.Key.Key_Right else -1)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.enlarge_requested.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew at the new size."""
        super().resizeEvent(event)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the frame, the axes, the lines, and what the pointer asks for."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_ground(painter)
        if self._x_span is None or self._y_span is None:
            self._draw_empty(painter)
        else:
            area = self._area()
            self._draw_axes(painter, area, self._x_span, self._y_span)
            self._draw_legend(painter)
            painter.setClipRect(area.adjusted(-3, -3, 3, 3))
            for raw, line in zip(self._given, self._shown, strict=True):
                if self._smoothing > 0:
                    self._draw_line(painter, area, raw, is_raw=True)
                self._draw_line(painter, area, line)
            painter.setClipping(False)
            self._draw_readout(painter, area)
        painter.end()

    # What is shown.

    def _refresh(self) -> None:
        self._shown = tuple(smoothed(line, self._smoothing) for line in self._given)
        ys = [y for line in self._given for y in line.ys]
        xs = [x for line in self._given for x in line.xs]
        self._y_span = span_of(ys, is_log=self._is_log)
        self._x_span = _x_span(xs) if self._y_span is not None else None
        latest = (f"{line.name} {self._to_text(line.ys[-1])}" for line in self._shown if line.ys)
        self.setAccessibleDescription(", ".join(latest))
        self.update()

    def _step(self, step: int) -> None:
        xs = sorted({x for line in self._given for x in line.xs})
        if not xs:
            return
        if self._hover_x is None:
            self.point_at(xs[-1])
            return
        near = min(range(len(xs)), key=lambda i: abs(xs[i] - (self._hover_x or 0.0)))
        self.point_at(xs[min(max(near + step, 0), len(xs) - 1)])

    def _readout_rows(self) -> tuple[tuple[str, str], ...]:
        if self._hover_x is None or self._x_span is None:
            return ()
        x = self._nearest_x(self._hover_x)
        rows = [(f"{self._x_name} {self._x_text(x)}", theme.QUIET_TEXT)]
        for line in self._shown:
            index = line.nearest(x)
            if index is not None and line.xs[index] == x:
                rows.append((f"{line.name}  {self._to_text(line.ys[index])}", line.colour))
        return tuple(rows)

    def _nearest_x(self, x: float) -> float:
        return min((near for line in self._given for near in line.xs), key=lambda v: abs(v - x))

    # Where it is drawn.

    def _area(self) -> QRectF:
        metrics = QFontMetricsF(theme.picture_font(10))
        left = (
            _PADDING
            + 8
            + max((metrics.horizontalAdvance(text) for text in self._y_texts()), default=20.0)
        )
        top = self._top()
        return QRectF(
            left, top, max(self.width() - left - _PADDING - 4, 10.0),
            max(self.height() - top - _FOOT, 10.0),
        )  # fmt: skip

    def _y_texts(self) -> tuple[str, ...]:
        if self._y_span is None:
            return ()
        return tuple(self._to_text(tick) for tick in ticks_of(self._y_span, self._num_y_ticks()))

    def _num_y_ticks(self) -> int:
        return max(2, int((self.height() - self._top() - _FOOT) / 34))

    def _top(self) -> float:
        return _PADDING + 24 + 15 * len(self._legend_rows())

    def _legend_rows(self) -> list[list[tuple[Line, str]]]:
        """Return the entries of the legend as they fit into rows, long names shortened."""
        metrics = QFontMetricsF(theme.picture_font(11))
        room = self.width() - 2 * _PADDING
        rows: list[list[tuple[Line, str]]] = []
        left = room
        for line in self._given:
            text = metrics.elidedText(line.name, Qt.TextElideMode.ElideMiddle, room - 2 * _SWATCH)
            width = metrics.horizontalAdvance(text) + _SWATCH + 16
            if not rows or width > left:
                rows.append([])
                left = room
            rows[-1].append((line, text))
            left -= width
        # A single line that says what the title says needs no legend.
        return [] if len(self._given) == 1 and self._given[0].name == self.title else rows

    # The drawing.

    def _draw_ground(self, painter: QPainter) -> None:
        colour = theme.ACCENT if self.hasFocus() else theme.PLOT_GROUND
        painter.setPen(QPen(QColor(colour), 1))
        painter.setBrush(QColor(theme.PLOT_GROUND))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 7, 7)
        font = theme.picture_font(12, bold=True)
        painter.setFont(font)
        painter.setPen(QColor(theme.TEXT))
        room = QRectF(_PADDING, _PADDING - 2, self.width() - 2 * _PADDING, 16)
        title = f"{self.title}  (log)" if self._is_log else self.title
        text = QFontMetricsF(font).elidedText(title, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_empty(self, painter: QPainter) -> None:
        painter.setFont(theme.picture_font(12))
        painter.setPen(QColor(theme.QUIET_TEXT))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(
            QRectF(self.rect()).adjusted(16, 24, -16, -10), int(flags), self._empty_text
        )

    def _draw_legend(self, painter: QPainter) -> None:
        font = theme.picture_font(11)
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        for number, row in enumerate(self._legend_rows()):
            left, middle = _PADDING, _PADDING + 22 + 15 * number
            for line, text in row:
                painter.setPen(_pen(line, _LINE_WIDTH + 0.6))
                painter.drawLine(QPointF(left, middle), QPointF(left + _SWATCH, middle))
                left += _SWATCH + 5
                painter.setPen(QColor(theme.QUIET_TEXT))
                width = metrics.horizontalAdvance(text)
                painter.drawText(
                    QRectF(left, middle - 8, width + 2, 16), Qt.AlignmentFlag.AlignVCenter, text
                )
                left += width + 11

    def _draw_axes(self, painter: QPainter, area: QRectF, x_span: Span, y_span: Span) -> None:
        painter.setFont(theme.picture_font(10))
        for tick in ticks_of(y_span, self._num_y_ticks()):
            y = area.bottom() - y_span.share(tick) * area.height()
            painter.setPen(QPen(QColor(theme.PLOT_GRID), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(theme.QUIET_TEXT))
            room = QRectF(0, y - 8, area.left() - 6, 16)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(room, flags, self._to_text(tick))
        painter.setPen(QPen(QColor(theme.BORDER), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        self._draw_x_ticks(painter, area, x_span)

    def _draw_x_ticks(self, painter: QPainter, area: QRectF, span: Span) -> None:
        painter.setPen(QColor(theme.QUIET_TEXT))
        count = max(2, int(area.width() / 48))
        # Within the first epochs there are steps only, which are parts of an epoch.
        is_short = span.high - span.low < _FEW_EPOCHS
        ticks = ticks_of(span, count // 2) if is_short else whole_ticks_of(span, count)
        metrics = painter.fontMetrics()
        name_width = metrics.horizontalAdvance(self._x_name) + 8
        for tick in ticks:
            x = area.left() + span.share(tick) * area.width()
            text = self._x_text(tick)
            half = metrics.horizontalAdvance(text) / 2
            # The axis' own name stands at its end, and keeps it.
            if x + half > area.right() - name_width:
                continue
            room = QRectF(x - half - 2, area.bottom() + 3, 2 * half + 4, 14)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)
        room = QRectF(area.right() - name_width, area.bottom() + 3, name_width, 14)
        painter.drawText(room, Qt.AlignmentFlag.AlignRight, self._x_name)

    def _draw_line(
        self, painter: QPainter, area: QRectF, line: Line, *, is_raw: bool = False
    ) -> None:
        assert self._x_span is not None
        assert self._y_span is not None
        pen = _pen(line, _LINE_WIDTH)
        if is_raw:
            faint = QColor(line.colour)
            faint.setAlpha(_RAW_ALPHA)
            pen = QPen(faint, 1)
        for stretch in runs_of(line.ys, self._y_span):
            points = [self._place(area, line.xs[i], line.ys[i]) for i in stretch]
            if len(points) == 1:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(pen.color())
                painter.drawEllipse(points[0], _DOT, _DOT)
                continue
            path = QPainterPath(points[0])
            for point in points[1:]:
                path.lineTo(point)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(pen)
            painter.drawPath(path)

    def _place(self, area: QRectF, x: float, y: float) -> QPointF:
        assert self._x_span is not None
        assert self._y_span is not None
        return QPointF(
            area.left() + self._x_span.share(x) * area.width(),
            area.bottom() - self._y_span.share(y) * area.height(),
        )

    def _draw_readout(self, painter: QPainter, area: QRectF) -> None:
        rows = self._readout_rows()
        if not rows or self._hover_x is None or self._x_span is None:
            return
        x = self._nearest_x(self._hover_x)
        at = area.left() + self._x_span.share(x) * area.width()
        painter.setPen(QPen(QColor(theme.QUIET_TEXT), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(at, area.top()), QPointF(at, area.bottom()))
        self._draw_dots(painter, area, x)
        draw_readout(painter, rows, QPointF(at, area.top()), QRectF(self.rect()))

    def _draw_dots(self, painter: QPainter, area: QRectF, x: float) -> None:
        assert self._y_span is not None
        painter.setPen(QPen(QColor(theme.PLOT_GROUND), 1))
        for line in self._shown:
            index = line.nearest(x)
            if index is None or line.xs[index] != x:
                continue
            if runs_of(line.ys[index : index + 1], self._y_span):
                painter.setBrush(QColor(line.colour))
                painter.drawEllipse(self._place(area, x, line.ys[index]), 4, 4)


def _x_span(xs: list[float]) -> Span:
    low, high = min(xs), max(xs)
    return Span(low, high) if high > low else Span(low - 0.5, high + 0.5)


def _pen(line: Line, width: float) -> QPen:
    pen = QPen(QColor(line.colour), width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    if line.dashed:
        pen.setDashPattern([4.0, 3.0])
    return pen
