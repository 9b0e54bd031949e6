"""The three-dimensional view: turned, moved, zoomed and clicked."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from app.views.camera import Camera
from app.views.orientation_cube import visible_faces
from app.views.surface_store import RunTask
from app.views.volume_pane import CUBE_HALF_PX, VolumePane

_CLICK_PX = 4.0
_ZOOM_PER_PX = 1.01
_ZOOM_PER_NOTCH = 1.15


class VolumeView(VolumePane):
    """Turns gestures into its own camera, and clicks on labels into wishes."""

    finding_requested = Signal(str)
    maximise_requested = Signal()
    activated = Signal()

    def __init__(self, parent: QWidget | None = None, *, run_task: RunTask | None = None) -> None:
        super().__init__(parent, run_task=run_task)
        # Where a button went down, where it was seen last, which one.
        self._pressed: tuple[QPointF, QPointF, Qt.MouseButton] | None = None

    def set_camera(self, preset: str) -> None:
        """Look from a side: anterior, posterior, left, right, head or feet."""
        if self._camera is not None:
            self._move_camera(self._camera.preset(preset))

    def _move_camera(self, camera: Camera, *, moving: bool = False) -> None:
        self._camera_touched = True
        self._look_from(camera, moving=moving)

    def _follow(self, camera: Camera, event: QMouseEvent, button: Qt.MouseButton) -> None:
        """Turn with the left button, move with the middle, zoom with the right one."""
        assert self._pressed is not None
        start, last, _ = self._pressed
        travel = event.position() - last
        self._pressed = (start, event.position(), button)
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if button == Qt.MouseButton.RightButton:
            moved = camera.zoomed(_ZOOM_PER_PX ** -travel.y())
        elif button == Qt.MouseButton.MiddleButton or shifted:
            moved = camera.panned(travel.x(), travel.y(), self.picture_rect.height())
        else:
            moved = camera.rotated(travel.x(), travel.y())
        self._move_camera(moved, moving=True)

    def _click(self, point: QPointF) -> None:
        for finding_id, rect in self._tags:
            if rect.contains(point):
                self.finding_requested.emit(finding_id)
                return
        if self._camera is None:
            return
        for preset, face in visible_faces(self._camera, self._cube_centre(), CUBE_HALF_PX):
            if face.containsPoint(point, Qt.FillRule.OddEvenFill):
                self.set_camera(preset)
                return

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the body."""
        self.activated.emit()
        if self._pressed is None:
            self._pressed = (event.position(), event.position(), event.button())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the body with the hand, once it has left its dead zone."""
        if self._pressed is None or self._camera is None:
            return
        start, last, button = self._pressed
        if last == start and (event.position() - start).manhattanLength() <= _CLICK_PX:
            return
        self._follow(self._camera, event, button)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go; without movement it was a click."""
        pressed, self._pressed = self._pressed, None
        if pressed is None or event.button() != pressed[2]:
            return
        if pressed[0] == pressed[1] and event.button() == Qt.MouseButton.LeftButton:
            self._click(event.position())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask to be maximised, or restored."""
        self._pressed = None
        if event.button() == Qt.MouseButton.LeftButton:
            self.maximise_requested.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom."""
        event.accept()
        if self._camera is not None:
            factor = _ZOOM_PER_NOTCH ** (event.angleDelta().y() / 120)
            self._move_camera(self._camera.zoomed(factor), moving=True)
