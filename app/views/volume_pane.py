"""Draws pancreas, lesions and boxes in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QHideEvent,
    QLinearGradient,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.session import Layer
from app.views import marks, volume_marks
from app.views.camera import Camera, focused, whole_view
from app.views.corner_text import Corners, identity_lines, paint_corners, series_lines
from app.views.frames import Frames
from app.views.looks import look_of
from app.views.orientation_cube import paint_cube
from app.views.surface_store import RunTask, SurfaceStore, run_now
from engine.case import Case
from engine.finding import Finding
from engine.volume import LabelMap

if TYPE_CHECKING:
    from app.views.scene import Item
    from app.views.surfaces import Surface

CUBE_HALF_PX = 15.0
_ORGAN_VIEW_MM = 260.0  # ours: shows a pancreas with its neighbourhood
Position = tuple[float, float, float]


class VolumePane(QWidget):
    """Shows frames of the surfaces under marks of its own; leaves the mouse to `VolumeView`."""

    def __init__(self, parent: QWidget | None = None, *, run_task: RunTask | None = None) -> None:
        super().__init__(parent)
        self.name = "volume"
        self.setObjectName("view_volume")
        self.setAccessibleName("Three-dimensional view")
        self.setMinimumSize(160, 130)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._case: Case | None = None
        self._is_ai = False
        self._findings: tuple[Finding, ...] = ()
        self._selected_id: str | None = None
        self._layers: tuple[Layer, ...] = ()
        self._cursor_mm: Position | None = None
        self._camera: Camera | None = None
        self._camera_touched = False
        self._active = False
        self._tags: list[tuple[str, QRectF]] = []
        self._frames = Frames(self)
        self._frames.made.connect(self.update)
        self._store = SurfaceStore(run_task or run_now, self)
        self._store.organs_built.connect(self._frame_organs)
        self._store.changed.connect(self._restage)

    @property
    def camera(self) -> Camera | None:
        """Where the view looks from, or None without a case."""
        return self._camera

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """What is drawn."""
        return (*self._store.context, *self._store.organs)

    @property
    def num_frames(self) -> int:
        """How many frames were rendered."""
        return self._frames.num_made

    @property
    def picture_rect(self) -> QRectF:
        """Where the picture lies in the widget: everything above the strip."""
        return QRectF(0, 0, self.width(), max(1, self.height() - marks.STRIP))

    def show_case(self, case: Case | None) -> None:
        """Show skin and bone of a case, from the front."""
        self._case = case
        self._findings, self._selected_id, self._cursor_mm = (), None, None
        self._look_home()
        self._store.set_case(case)
        self._build_if_seen()

    def show_labels(self, labels: LabelMap | None, *, is_ai: bool) -> None:
        """Show the surfaces of a label map."""
        self._is_ai = is_ai
        self._store.set_labels(labels)
        self._build_if_seen()

    def show_findings(self, findings: tuple[Finding, ...], selected_id: str | None) -> None:
        """Show the boxes of findings and move a newly selected one into the middle."""
        selected = next((f for f in findings if f.finding_id == selected_id), None)
        if selected is not None and selected_id != self._selected_id and self._camera is not None:
            self._look_from(focused(self._camera, selected.centre_mm))
        self._findings, self._selected_id = findings, selected_id
        self._store.set_findings(findings)
        self._build_if_seen()
        self._restage()

    def set_layers(self, layers: tuple[Layer, ...]) -> None:
        """Show and hide structures as their layers say."""
        if layers != self._layers:
            self._layers = layers
            self._restage()

    def set_cursor(self, position_mm: Position) -> None:
        """Mark the position of the crosshair."""
        self._cursor_mm = position_mm
        self.update()

    def set_active(self, active: bool) -> None:
        """Mark this pane as the one that keys act on."""
        self._active = active
        self.update()

    def reset_view(self) -> None:
        """Look from the front at the labelled organs, or at the whole volume."""
        self._look_home()
        self._frame_organs()

    def finish_frame(self) -> None:
        """Render at once what is shown, for a picture that cannot wait."""
        if self.isVisible():
            self._size_frames()
            self._frames.make_now()

    def finalize(self) -> None:
        """Give the graphics memory back; nothing is drawn in three dimensions afterwards."""
        self._frames.close()

    def _build_if_seen(self) -> None:
        """Start what is missing in the background; a hidden pane waits until it is shown."""
        if self.isVisible():
            self._store.build()
        self.update()

    def _restage(self) -> None:
        """Let the frames hold what the store holds, each in its look."""
        items: dict[str, Item] = {}
        if self.surfaces:
            from app.views.scene import Item  # VTK is loaded where there is a surface

            for surface in self.surfaces:
                look = look_of(
                    surface.structure,
                    surface.finding_id,
                    layers=self._layers,
                    findings=self._findings,
                )
                key = f"{surface.structure}/{surface.finding_id or ''}"
                items[key] = Item(surface.mesh, look)
        self._frames.show(items)
        self.update()

    def _frame_organs(self) -> None:
        """Turn to the organs once they are there, unless the reader holds the camera."""
        organs = self._store.organs
        if self._camera is None or self._camera_touched or not organs:
            return
        if self._selected_id is None:
            x, y, z = np.mean([surface.centre_mm for surface in organs], axis=0)
            home = whole_view(self._case.volume.geometry) if self._case else self._camera
            height = min(home.height_mm, _ORGAN_VIEW_MM)
            self._look_from(focused(home, (float(x), float(y), float(z)), height))

    def _look_home(self) -> None:
        geometry = self._case.volume.geometry if self._case is not None else None
        self._camera_touched = False
        self._look_from(whole_view(geometry) if geometry is not None else None)

    def _look_from(self, camera: Camera | None, *, moving: bool = False) -> None:
        self._camera = camera
        self._frames.look_from(camera, moving=moving)
        self.update()

    def _size_frames(self) -> None:
        ratio, rect = self.devicePixelRatioF(), self.picture_rect
        self._frames.set_size(round(rect.width() * ratio), round(rect.height() * ratio))

    def _cube_centre(self) -> QPointF:
        pane = self.picture_rect
        return QPointF(pane.left() + 36, pane.bottom() - 36)

    def _paint_picture(self, painter: QPainter) -> Camera | None:
        """Draw the latest frame, or the bare ground, and return the camera it was taken by."""
        pane, frame = self.picture_rect, self._frames.latest
        if frame is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(pane, frame.picture)
            return frame.camera
        ground = QLinearGradient(pane.topLeft(), pane.bottomLeft())
        ground.setColorAt(0, QColor(theme.GROUND_HIGH))
        ground.setColorAt(1, QColor(theme.GROUND_LOW))
        painter.fillRect(pane, ground if self._camera is not None else QColor(theme.PICTURE))
        return self._camera

    def _paint_marks(self, painter: QPainter, camera: Camera) -> None:
        pane = self.picture_rect
        painter.setClipRect(pane)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._cursor_mm is not None:
            x, y, _ = camera.project([self._cursor_mm], (pane.width(), pane.height()))[0]
            volume_marks.paint_cursor(painter, QPointF(x, y))
        self._tags = volume_marks.paint_findings(
            painter,
            camera,
            pane,
            self._findings,
            layers=self._layers,
            selected_id=self._selected_id,
            is_ai=self._is_ai,
        )
        if self._case is not None:
            corners = Corners(identity_lines(self._case), series_lines(self._case))
            paint_corners(painter, corners, pane, 30)
        if self._store.is_building:
            volume_marks.paint_progress(painter, pane, "Building surfaces…")
        paint_cube(painter, camera, self._cube_centre(), CUBE_HALF_PX)
        painter.setClipping(False)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the latest frame with marks, and ask for the next where it is out of date."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        camera, failure = self._paint_picture(painter), self._frames.failure
        if failure is not None:
            marks.paint_notice(painter, self.picture_rect, f"{failure.message}\n{failure.remedy}")
        elif camera is not None:
            self._paint_marks(painter, camera)
        marks.paint_strip(painter, QRectF(self.rect()), self.name, "3D", active=self._active)
        painter.end()
        # Never rendered here: the planes are painted in the same breath and must not wait.
        if self.isVisible():
            self._size_frames()
            self._frames.make_soon()

    def showEvent(self, event: QShowEvent) -> None:
        """Build what was left out while the pane was hidden."""
        self._build_if_seen()

    def hideEvent(self, event: QHideEvent) -> None:
        """Render nothing while the pane is hidden."""
        self._frames.pause()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew in the new size."""
        self.update()
