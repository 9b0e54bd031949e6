"""Pancreas, lesions and boxes in three dimensions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QHideEvent,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.session import Layer
from app.views import marks, overlay
from app.views.camera import Camera
from app.views.corner_text import Corners, identity_lines, paint_corners, series_lines
from app.views.orientation_cube import paint_cube, visible_faces
from engine.case import Case
from engine.errors import IsletError
from engine.finding import Finding, Review
from engine.volume import LabelMap

if TYPE_CHECKING:
    from app.views.scene import Look, Scene
    from app.views.surfaces import Surface

log = logging.getLogger(__name__)

_SLOW_FRAME_S = 0.045
_STILL_AFTER_MS = 150
_CUBE_HALF_PX = 15.0
_CLICK_PX = 4.0
_ORGAN_VIEW_MM = 260.0  # ours: shows a pancreas with its neighbourhood
Position = tuple[float, float, float]


class RunTask(Protocol):
    """How work leaves the main thread; `TaskRunner.run` is one."""

    def __call__(
        self,
        work: Callable[[], Any],
        *,
        on_success: Callable[[Any], None],
        on_failure: Callable[[IsletError], None],
    ) -> None:
        """Run `work` and report its outcome on the main thread."""
        ...


class VolumeView(QWidget):
    """Shows surfaces; VTK draws off screen and QPainter shows its pixels."""

    finding_requested = Signal(str)
    maximise_requested = Signal()
    activated = Signal()

    def __init__(self, parent: QWidget | None = None, *, run_task: RunTask | None = None) -> None:
        super().__init__(parent)
        self.name = "volume"
        self.setObjectName("view_volume")
        self.setAccessibleName("Three-dimensional view")
        self.setMinimumSize(160, 130)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._run_task = run_task or run_now
        self._case: Case | None = None
        self._labels: LabelMap | None = None
        self._is_ai = False
        self._findings: tuple[Finding, ...] = ()
        self._selected_id: str | None = None
        self._layers: tuple[Layer, ...] = ()
        self._cursor_mm: Position | None = None
        self._camera: Camera | None = None
        self._camera_touched = False
        self._active = False
        self._scene: Scene | None = None
        self._finalized = False
        self._surfaces: dict[str, Surface] = {}
        self._context_stale = False
        self._labels_stale = False
        self._num_building = 0
        self._frame: QImage | None = None
        self._frame_s = 0.0
        self._pressed: tuple[QPointF, QPointF, Qt.MouseButton] | None = None
        self._turning = False
        self._tags: list[tuple[str, QRectF]] = []
        self._still = QTimer(self, singleShot=True, interval=_STILL_AFTER_MS)
        self._still.timeout.connect(self._on_still)
        self.num_frames = 0

    @property
    def camera(self) -> Camera | None:
        """Where the view looks from, or None without a case."""
        return self._camera

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """What the scene holds."""
        return tuple(self._surfaces.values())

    @property
    def picture_rect(self) -> QRectF:
        """Where the picture lies in the widget: everything above the strip."""
        return QRectF(0, 0, self.width(), max(1, self.height() - marks.STRIP))

    def show_case(self, case: Case | None) -> None:
        """Show skin and bone of a case, from the front."""
        self._case, self._labels = case, None
        self._findings, self._selected_id, self._cursor_mm = (), None, None
        self._drop_surfaces(lambda _surface: True)
        self._camera, self._camera_touched = _whole_view(case), False
        self._context_stale, self._labels_stale = case is not None, False
        self._build_if_seen()
        self._redraw()

    def show_labels(self, labels: LabelMap | None, *, is_ai: bool) -> None:
        """Show the surfaces of a label map."""
        self._labels, self._is_ai = labels, is_ai
        self._labels_stale = True
        if labels is None:
            self._drop_surfaces(lambda surface: surface.structure not in _CONTEXT)
        self._build_if_seen()
        self._redraw()

    def show_findings(self, findings: tuple[Finding, ...], selected_id: str | None) -> None:
        """Show the boxes of findings and move a newly selected one into the middle."""
        moved = [(f.finding_id, f.box_mm) for f in findings] != [
            (f.finding_id, f.box_mm) for f in self._findings
        ]
        selected = next((f for f in findings if f.finding_id == selected_id), None)
        if selected is not None and selected_id != self._selected_id and self._camera is not None:
            self._camera = _focused(self._camera, selected.centre_mm)
        self._findings, self._selected_id = findings, selected_id
        if moved:
            self._labels_stale = True
            self._build_if_seen()
        self._restyle()

    def set_layers(self, layers: tuple[Layer, ...]) -> None:
        """Show and hide structures as their layers say."""
        if layers != self._layers:
            self._layers = layers
            self._restyle()

    def set_cursor(self, position_mm: Position) -> None:
        """Mark the position of the crosshair."""
        self._cursor_mm = position_mm
        self.update()

    def set_camera(self, preset: str) -> None:
        """Look from a side: anterior, posterior, left, right, head or feet."""
        if self._camera is not None:
            self._move_camera(self._camera.preset(preset))

    def set_active(self, active: bool) -> None:
        """Mark this pane as the one that keys act on."""
        self._active = active
        self.update()

    def reset_view(self) -> None:
        """Look from the front at the labelled organs, or at the whole volume."""
        self._camera, self._camera_touched = _whole_view(self._case), False
        self._frame_labels()
        self._redraw()

    def finalize(self) -> None:
        """Give the graphics memory back; nothing is drawn in three dimensions afterwards."""
        self._finalized = True
        self._still.stop()
        self._frame = None
        if self._scene is not None:
            self._scene.close()
            self._scene = None

    def _build_if_seen(self) -> None:
        """Start what is missing in the background; a hidden pane waits until it is shown."""
        if not self.isVisible() or self._finalized or self._case is None:
            return
        if self._context_stale:
            self._context_stale = False
            self._build_context(self._case)
        if self._labels_stale:
            self._labels_stale = False
            if self._labels is not None:
                self._build_labels(self._labels, self._findings)

    def _build_context(self, case: Case) -> None:
        def work() -> tuple[Surface, ...]:
            from app.views.surfaces import build_context  # VTK loads with the first case

            return build_context(case.volume)

        def show(surfaces: tuple[Surface, ...]) -> None:
            self._num_building -= 1
            if case is self._case:
                self._take(surfaces)

        self._num_building += 1
        self._run_task(work, on_success=show, on_failure=self._on_failure)

    def _build_labels(self, labels: LabelMap, findings: tuple[Finding, ...]) -> None:
        def work() -> tuple[Surface, ...]:
            from app.views.surfaces import build_surfaces  # VTK loads with the first case

            return build_surfaces(labels, findings)

        def show(surfaces: tuple[Surface, ...]) -> None:
            self._num_building -= 1
            if labels is self._labels:
                self._drop_surfaces(lambda surface: surface.structure not in _CONTEXT)
                self._take(surfaces)
                self._frame_labels()

        self._num_building += 1
        self._run_task(work, on_success=show, on_failure=self._on_failure)

    def _on_failure(self, error: IsletError) -> None:
        self._num_building -= 1
        log.warning("No surface was built: %s", error.message)
        self.update()

    def _take(self, surfaces: tuple[Surface, ...]) -> None:
        for surface in surfaces:
            self._surfaces[_key(surface)] = surface
            if self._scene is not None:
                self._scene.show(_key(surface), surface.mesh, self._look(surface))
        self._redraw()

    def _drop_surfaces(self, unwanted: Callable[[Surface], bool]) -> None:
        for key, surface in tuple(self._surfaces.items()):
            if unwanted(surface):
                del self._surfaces[key]
                if self._scene is not None:
                    self._scene.remove(key)

    def _look(self, surface: Surface) -> Look:
        from app.views.scene import Look

        colour = theme.structure_colour(surface.structure).name()
        if surface.structure in _CONTEXT:
            return Look(colour, _CONTEXT[surface.structure], shell=surface.structure == "body")
        layer = next((la for la in self._layers if la.structure == surface.structure), None)
        if layer is not None and not layer.visible:
            return Look(colour, 0.0)
        finding = next((f for f in self._findings if f.finding_id == surface.finding_id), None)
        if finding is not None and finding.review is Review.REJECTED:
            return Look(theme.REJECTED, 0.25)
        return Look(colour, 0.5 if surface.structure == "pancreas" else 1.0)

    def _restyle(self) -> None:
        if self._scene is not None:
            for key, surface in self._surfaces.items():
                self._scene.restyle(key, self._look(surface))
        self._redraw()

    def _frame_labels(self) -> None:
        """Turn to the organs once they are there, unless the reader holds the camera."""
        organs = [s for s in self._surfaces.values() if s.structure not in _CONTEXT]
        if self._camera is None or self._camera_touched or not organs:
            return
        if self._selected_id is not None:
            return
        centre = np.mean([surface.centre_mm for surface in organs], axis=0)
        height = min(self._camera.height_mm, _ORGAN_VIEW_MM)
        self._camera = Camera(-20.0, 12.0, (centre[0], centre[1], centre[2]), height)

    def _move_camera(self, camera: Camera) -> None:
        self._camera, self._camera_touched = camera, True
        self._redraw()

    def _redraw(self) -> None:
        self._frame = None
        self.update()

    def _on_still(self) -> None:
        self._turning = False
        self._redraw()

    def _render(self) -> QImage | None:
        """Render a frame; while the body turns, at half size where full size is slow."""
        if self._finalized or self._camera is None:
            return None
        if self._scene is None:
            from app.views.scene import Scene  # VTK loads with the first case

            self._scene = Scene()
            for key, surface in self._surfaces.items():
                self._scene.show(key, surface.mesh, self._look(surface))
        coarse = 0.5 if self._turning and self._frame_s > _SLOW_FRAME_S else 1.0
        ratio, rect = self.devicePixelRatioF() * coarse, self.picture_rect
        width, height = max(2, round(rect.width() * ratio)), max(2, round(rect.height() * ratio))
        started = time.perf_counter()
        pixels = self._scene.render(width, height, self._camera)
        if coarse == 1.0:
            self._frame_s = time.perf_counter() - started
        self.num_frames += 1
        return QImage(pixels.data, width, height, width * 4, QImage.Format.Format_RGBX8888).copy()

    def _paint_marks(self, painter: QPainter, camera: Camera) -> None:
        pane = self.picture_rect
        size = (pane.width(), pane.height())
        painter.setClipRect(pane)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._cursor_mm is not None:
            _paint_cursor(painter, camera.project([self._cursor_mm], size)[0])
        self._paint_boxes(painter, camera, pane)
        if self._case is not None:
            corners = Corners(identity_lines(self._case), series_lines(self._case))
            paint_corners(painter, corners, pane, 30)
        if self._num_building:
            painter.setFont(theme.picture_font(11))
            painter.setPen(QColor(theme.QUIET_TEXT))
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
            painter.drawText(pane.adjusted(0, 0, -8, -8), flags, "Building surfaces…")
        paint_cube(painter, camera, self._cube_centre(), _CUBE_HALF_PX)
        painter.setClipping(False)

    def _cube_centre(self) -> QPointF:
        pane = self.picture_rect
        return QPointF(pane.left() + 36, pane.bottom() - 36)

    def _paint_boxes(self, painter: QPainter, camera: Camera, pane: QRectF) -> None:
        boxed = {layer.structure: layer.boxes for layer in self._layers}
        self._tags = []
        painter.setFont(theme.picture_font(11, bold=True))
        for finding in self._findings:
            selected = finding.finding_id == self._selected_id
            rejected = finding.review is Review.REJECTED
            if not boxed.get(finding.structure, True) or (rejected and not selected):
                continue
            corners = camera.project(_corners(finding), (pane.width(), pane.height()))
            colour = overlay.finding_colour(finding)
            dashed = self._is_ai and finding.review is not Review.CONFIRMED
            _paint_edges(painter, corners, colour, dashed=dashed, selected=selected)
            text = overlay.finding_text(finding)
            rect = QRectF(0, 0, painter.fontMetrics().horizontalAdvance(text) + 10, 17)
            rect.moveBottomLeft(QPointF(corners[:, 0].max() + 4, corners[:, 1].min() - 2))
            rect = _moved_into(rect, pane, [place for _, place in self._tags])
            overlay.paint_tag(painter, rect, text, colour, selected=selected)
            self._tags.append((finding.finding_id, rect))

    def _click(self, point: QPointF) -> None:
        for finding_id, rect in self._tags:
            if rect.contains(point):
                self.finding_requested.emit(finding_id)
                return
        if self._camera is None:
            return
        for preset, face in visible_faces(self._camera, self._cube_centre(), _CUBE_HALF_PX):
            if face.containsPoint(point, Qt.FillRule.OddEvenFill):
                self.set_camera(preset)
                return

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the last frame, or a new one, then the marks at the resolution of the device."""
        if self._frame is None:
            self._frame = self._render()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        if self._frame is None or self._camera is None:
            painter.fillRect(self.rect(), theme.PICTURE)
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self.picture_rect, self._frame)
            self._paint_marks(painter, self._camera)
        marks.paint_strip(painter, QRectF(self.rect()), self.name, "3D", active=self._active)
        painter.end()

    def showEvent(self, event: QShowEvent) -> None:
        """Build what was left out while the pane was hidden."""
        self._build_if_seen()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop the timer of the still frame."""
        self._still.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew in the new size."""
        self._redraw()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the body."""
        self.activated.emit()
        if self._pressed is None:
            self._pressed = (event.position(), event.position(), event.button())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Turn with the left button, move with the middle, zoom with the right one."""
        if self._pressed is None or self._camera is None:
            return
        start, last, button = self._pressed
        travel = event.position() - last
        if last == start and travel.manhattanLength() <= _CLICK_PX:
            return
        self._pressed = (start, event.position(), button)
        self._turning = True
        self._still.start()
        shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if button == Qt.MouseButton.RightButton:
            self._move_camera(self._camera.zoomed(1.01 ** -travel.y()))
        elif button == Qt.MouseButton.MiddleButton or shifted:
            height = self.picture_rect.height()
            self._move_camera(self._camera.panned(travel.x(), travel.y(), height))
        else:
            self._move_camera(self._camera.rotated(travel.x(), travel.y()))

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
            self._turning = True
            self._still.start()
            self._move_camera(self._camera.zoomed(1.15 ** (event.angleDelta().y() / 120)))


_CONTEXT = {"body": 0.16, "bone": 0.22}
"""Structures that only say where one is, with their opacity."""


def run_now(
    work: Callable[[], Any],
    *,
    on_success: Callable[[Any], None],
    on_failure: Callable[[IsletError], None],
) -> None:
    """Run work at once; what a view does without a task runner."""
    try:
        outcome = work()
    except IsletError as error:
        on_failure(error)
    else:
        on_success(outcome)


def _key(surface: Surface) -> str:
    return f"{surface.structure}/{surface.finding_id or ''}"


def _whole_view(case: Case | None) -> Camera | None:
    if case is None:
        return None
    geometry = case.volume.geometry
    ends = geometry.to_patient([[0, 0, 0], [n - 1 for n in geometry.shape]])
    centre = ends.mean(axis=0)
    extent = np.abs(ends[1] - ends[0])
    height = float(max(extent[2] * 1.25, extent[0] * 0.75, 50.0))
    return Camera(-20.0, 12.0, (float(centre[0]), float(centre[1]), float(centre[2])), height)


def _focused(camera: Camera, focus_mm: Position) -> Camera:
    return Camera(camera.azimuth_deg, camera.elevation_deg, focus_mm, camera.height_mm)


def _corners(finding: Finding) -> list[list[float]]:
    low, high = finding.box_mm.lower_mm, finding.box_mm.upper_mm
    return [[(low, high)[(i >> axis) & 1][axis] for axis in range(3)] for i in range(8)]


def _paint_edges(
    painter: QPainter, corners: np.ndarray, colour: QColor, *, dashed: bool, selected: bool
) -> None:
    pen = QPen(colour, 2.0 if selected else 1.2)
    if dashed:
        pen.setDashPattern([5.0, 4.0])
    painter.setPen(pen)
    points = [QPointF(x, y) for x, y, _ in corners.tolist()]
    edges = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]
    painter.drawLines([QLineF(points[a], points[b]) for a, b in edges])


def _moved_into(rect: QRectF, pane: QRectF, taken: list[QRectF]) -> QRectF:
    for other in taken:
        if rect.intersects(other):
            rect.moveTop(other.bottom() + 2)
    rect.moveLeft(min(max(pane.left() + 2, rect.left()), pane.right() - rect.width() - 2))
    rect.moveTop(min(max(pane.top() + 2, rect.top()), pane.bottom() - rect.height() - 2))
    return rect


def _paint_cursor(painter: QPainter, at: np.ndarray) -> None:
    x, y = float(at[0]), float(at[1])
    arms = [(x - 9, y), (x - 3, y), (x + 3, y), (x + 9, y)]
    arms += [(x, y - 9), (x, y - 3), (x, y + 3), (x, y + 9)]
    points = [QPointF(*arm) for arm in arms]
    lines = [QLineF(a, b) for a, b in list(pairwise(points))[::2]]
    for colour, width in ((QColor(0, 0, 0, 160), 3), (QColor(theme.ACCENT), 1.4)):
        painter.setPen(QPen(colour, width))
        painter.drawLines(lines)
