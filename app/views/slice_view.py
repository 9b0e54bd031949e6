"""One plane of a volume: scrolled, windowed, zoomed and pointed at."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from app.views.drag import Drag, DragKind, kind_of
from app.views.slice_pane import Position, Probe, SlicePane

_WHEEL_STEP = 120
_ZOOM_PER_NOTCH = 1.15
_OPACITY_PER_NOTCH = 0.05


class SliceView(SlicePane):
    """Turns gestures into its own zoom and pan, and into wishes for all the rest."""

    cursor_requested = Signal(object)  # (x, y, z) LPS in mm
    window_requested = Signal(float, float)  # width, centre
    finding_requested = Signal(str)
    opacity_requested = Signal(float)  # change of the masks' opacity
    maximise_requested = Signal()
    menu_requested = Signal(QPoint, object)  # global position, Probe
    probed = Signal(object)  # Probe | None
    activated = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._drag: Drag | None = None
        self._wheel_rest = 0
        self._pointer: QPointF | None = None

    def set_cursor(self, position_mm: Position) -> None:
        """Move the crosshair, show its slice, and say what is now under a resting pointer."""
        super().set_cursor(position_mm)
        if self._pointer is not None and self._drag is None:
            self._show_probe(self.probe_at(self._pointer))

    def step(self, count: int) -> None:
        """Ask for the slice `count` further towards feet, back or patient left."""
        if self._plane is not None:
            self.go_to_slice(self._number + count * self._plane.next_step)

    def go_to_end(self, *, last: bool) -> None:
        """Ask for the first or last slice in the sense of `step`."""
        if self._plane is not None:
            towards_high = self._plane.next_step > 0
            self.go_to_slice(self._plane.num_slices - 1 if last == towards_high else 0)

    def go_to_slice(self, number: int) -> None:
        """Ask for one slice; the crosshair keeps its place within the plane."""
        if self._plane is None:
            return
        number = min(self._plane.num_slices - 1, max(0, number))
        if self._cursor_mm is not None:
            x, y = self._plane.to_plane(np.asarray([self._cursor_mm]))[0]
        else:
            x, y = (size / 2 for size in self._plane.size)
        self.cursor_requested.emit(self._plane.to_patient(float(x), float(y), number))

    def _begin_drag(self, event: QMouseEvent, kind: DragKind) -> None:
        self._drag = Drag(
            kind=kind,
            button=event.button(),
            start=event.position(),
            last=event.position(),
            window_hu=self._window_hu,
            locked=self.finding_at(event.position()) is not None,
        )

    def _follow_drag(self, drag: Drag, to: QPointF) -> None:
        assert self._viewport is not None
        if drag.kind is DragKind.WINDOW:
            self.window_requested.emit(*drag.window_at(to))
        elif drag.kind is DragKind.PAN:
            travel = to - drag.last
            self._set_viewport(self._viewport.panned(travel.x(), travel.y()))
        elif drag.kind is DragKind.ZOOM:
            factor = drag.zoom_factor(to)
            self._set_viewport(self._viewport.zoomed(factor, drag.start.x(), drag.start.y()))
        else:
            self._scroll_to(drag, to)

    def _scroll_to(self, drag: Drag, to: QPointF) -> None:
        """Scroll so that the height of the pane is the whole stack."""
        assert self._plane is not None
        per_slice = max(1.0, self.picture_rect.height() / self._plane.num_slices)
        passed = int((to.y() - drag.start.y()) / per_slice)
        before = int((drag.last.y() - drag.start.y()) / per_slice)
        if passed != before:
            self.step(passed - before)

    def _click(self, event: QMouseEvent) -> None:
        point = event.position()
        if event.button() == Qt.MouseButton.RightButton:
            self.menu_requested.emit(event.globalPosition().toPoint(), self.probe_at(point))
        elif event.button() == Qt.MouseButton.LeftButton:
            finding_id = self.finding_at(point)
            if finding_id is not None:
                self.finding_requested.emit(finding_id)
            elif self.picture_rect.contains(point):
                self.cursor_requested.emit(self._clamped(point))

    def _clamped(self, point: QPointF) -> Position:
        """Return the position under a point, moved into the volume where it lies beside it."""
        assert self._plane is not None
        x, y = self._map.to_plane(point)
        columns, rows = self._plane.size
        x, y = min(columns - 0.5, max(0.5, x)), min(rows - 0.5, max(0.5, y))
        return self._plane.to_patient(x, y, self._number)

    def _show_probe(self, probe: Probe | None) -> None:
        self._probe = probe
        self.probed.emit(probe)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start a drag, which stays a click within its dead zone."""
        self.activated.emit()
        if self._plane is None:
            return
        if self._drag is not None:
            both = {self._drag.button, event.button()}
            if both == {Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton}:
                self._begin_drag(event, DragKind.SCROLL)
            return
        kind = kind_of(event.button(), event.modifiers())
        if kind is not None:
            self._begin_drag(event, kind)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow a drag, or probe the voxel under the pointer."""
        self._pointer = event.position()
        if self._plane is None:
            return
        if self._drag is None:
            self._show_probe(self.probe_at(event.position()))
            return
        moved = self._drag.moved(event.position())
        if moved.begun:
            self._follow_drag(self._drag, event.position())
        self._drag = moved

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the drag; without movement it was a click."""
        drag, self._drag = self._drag, None
        if drag is None or self._plane is None or event.button() != drag.button:
            return
        if not drag.begun and drag.kind is not DragKind.SCROLL:
            self._click(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask to be maximised, or restored."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag = None
            self.maximise_requested.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll; with Ctrl zoom at the pointer, with Alt change the masks' opacity."""
        event.accept()
        # Qt turns the wheel sideways while Alt is down.
        self._wheel_rest += event.angleDelta().y() or event.angleDelta().x()
        notches = int(self._wheel_rest / _WHEEL_STEP)
        self._wheel_rest -= notches * _WHEEL_STEP
        if notches == 0 or self._viewport is None:
            return
        modifiers = event.modifiers()
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            at = event.position()
            factor = _ZOOM_PER_NOTCH**notches
            self._set_viewport(self._viewport.zoomed(factor, at.x(), at.y()))
        elif modifiers & Qt.KeyboardModifier.AltModifier:
            self.opacity_requested.emit(notches * _OPACITY_PER_NOTCH)
        else:
            self.step(-notches * (5 if modifiers & Qt.KeyboardModifier.ShiftModifier else 1))

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the probe."""
        self._pointer = None
        self._show_probe(None)
