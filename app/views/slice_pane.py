"""Draws one plane of a volume with its labels, findings and marks."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.session import Layer
from app.views import marks, overlay
from app.views.corner_text import Corners, occupied, paint_corners
from app.views.pane_map import PaneMap
from app.views.picture import grey_picture
from app.views.plane import Plane, plane_of
from app.views.slice_text import slice_corners
from app.views.viewport import Viewport, fit
from engine.case import Case
from engine.finding import Finding
from engine.volume import LabelMap, Volume

Position = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Probe:
    """What lies under the pointer.

    Args:
        view: Name of the pane.
        position_mm: (x, y, z) LPS in mm.
        hu: Density of the voxel, exactly as stored, or None beside the grid.
    """

    view: str
    position_mm: Position
    hu: float | None


class SlicePane(QWidget):
    """Shows one plane; knows where everything lies, and leaves the mouse to `SliceView`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.setObjectName(f"view_{name}")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 130)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{name.capitalize()} view")
        self._case: Case | None = None
        self._volume: Volume | None = None
        self._plane: Plane | None = None
        self._viewport: Viewport | None = None
        self._number = 0
        self._cursor_mm: Position | None = None
        self._window_hu = (400.0, 40.0)
        self._labels: LabelMap | None = None
        self._is_ai = False
        self._findings: tuple[Finding, ...] = ()
        self._selected_id: str | None = None
        self._layers: tuple[Layer, ...] = ()
        self._notice = ""
        self._inverted = False
        self._crosshair_shown = True
        self._active = False
        self._probe: Probe | None = None
        self._backdrop: QPixmap | None = None
        self._shapes: tuple[overlay.Shape, ...] | None = None
        self._box_marks: tuple[overlay.BoxMark, ...] = ()
        self._tags: list[tuple[str, QRectF]] = []

    @property
    def slice_number(self) -> int:
        """Index of the slice that is shown, counted from 0 along the array."""
        return self._number

    @property
    def plane(self) -> Plane | None:
        """How the volume lies in this pane, or None while there is nothing to show."""
        return self._plane

    @property
    def viewport(self) -> Viewport | None:
        """Zoom and pan, or None while there is nothing to show."""
        return self._viewport

    @property
    def picture_rect(self) -> QRectF:
        """Where the picture lies in the widget: everything above the strip."""
        return QRectF(0, 0, self.width(), max(1, self.height() - marks.STRIP))

    def show_volume(self, volume: Volume | None, case: Case | None, notice: str = "") -> None:
        """Show a volume in its middle, seen whole, or `notice` instead."""
        self._case, self._volume, self._notice = case, volume, notice
        self._plane = plane_of(volume.geometry, self.name) if volume is not None else None
        if self._plane is not None and self._plane.is_thin:
            self._plane = None
        self._labels, self._findings, self._selected_id = None, (), None
        self._probe, self._cursor_mm = None, None
        self._number = self._plane.num_slices // 2 if self._plane is not None else 0
        self.reset_view()
        self._renew(shapes=True)

    def show_labels(self, labels: LabelMap | None, *, is_ai: bool) -> None:
        """Draw a label map over the picture."""
        self._labels, self._is_ai = labels, is_ai
        self._renew(shapes=True)

    def show_findings(self, findings: tuple[Finding, ...], selected_id: str | None) -> None:
        """Draw the boxes of findings, one of them highlighted."""
        self._findings, self._selected_id = findings, selected_id
        self._renew(shapes=True)

    def set_layers(self, layers: tuple[Layer, ...]) -> None:
        """Draw structures as their layers say."""
        self._layers = layers
        self._renew()

    def set_window(self, width: float, centre: float) -> None:
        """Show densities from centre - width / 2 to centre + width / 2, in HU."""
        self._window_hu = (width, centre)
        self._renew()

    def set_cursor(self, position_mm: Position) -> None:
        """Move the crosshair, show its slice, and bring it into the pane."""
        self._cursor_mm = position_mm
        if self._plane is None or self._viewport is None:
            return
        number = self._plane.slice_at(position_mm)
        if number != self._number:
            self._number = number
            self._renew(shapes=True)
        moved = self._map.with_in_view(position_mm)
        if moved is not None:
            self._set_viewport(moved)
        self.update()

    def set_inverted(self, inverted: bool) -> None:
        """Show dense tissue dark."""
        self._inverted = inverted
        self._renew()

    def set_crosshair_shown(self, shown: bool) -> None:
        """Draw the crosshair, or not."""
        self._crosshair_shown = shown
        self.update()

    def set_active(self, active: bool) -> None:
        """Mark this pane as the one that keys act on."""
        self._active = active
        self.update()

    def reset_view(self) -> None:
        """Show the whole plane."""
        if self._plane is None:
            self._viewport = None
            return
        rect = self.picture_rect
        self._set_viewport(fit((rect.width(), rect.height()), self._plane.extent_mm))

    def to_px(self, position_mm: Position) -> QPointF:
        """Map a patient position to the widget, along the viewing direction."""
        return self._map.to_px(position_mm)

    def to_position(self, point: QPointF) -> Position:
        """Map a point of the widget to the patient position on the shown slice."""
        pane_map = self._map
        return pane_map.plane.to_patient(*pane_map.to_plane(point), self._number)

    def probe_at(self, point: QPointF) -> Probe | None:
        """Return what lies under a point of the widget, or None outside the picture."""
        if self._plane is None or self._volume is None or not self.picture_rect.contains(point):
            return None
        x, y = self._map.to_plane(point)
        voxel = self._plane.voxel_at(x, y, self._number)
        hu = float(self._volume.voxels_hu[voxel]) if voxel is not None else None
        return Probe(self.name, self._plane.to_patient(x, y, self._number), hu)

    def finding_at(self, point: QPointF) -> str | None:
        """Return the finding whose label lies under a point of the widget, or None."""
        for finding_id, place in self._tags:
            if place.contains(point):
                return finding_id
        return None

    def shapes(self) -> tuple[overlay.Shape, ...]:
        """Return the borders on the shown slice, traced once per slice."""
        if self._shapes is None:
            self._shapes = ()
            if self._labels is not None and self._plane is not None:
                self._shapes = overlay.shapes_on(
                    self._labels, self._plane, self._number, self._findings
                )
        return self._shapes

    @property
    def _map(self) -> PaneMap:
        assert self._plane is not None
        assert self._viewport is not None
        return PaneMap(self._plane, self._viewport)

    def _set_viewport(self, viewport: Viewport) -> None:
        self._viewport = viewport
        self._renew()

    def _renew(self, *, shapes: bool = False) -> None:
        self._backdrop = None
        if shapes:
            self._shapes = None
        self.update()

    def _corners(self) -> Corners:
        return slice_corners(
            self._case,
            self._map,
            self._number,
            cursor_mm=self._cursor_mm,
            window_hu=self._window_hu,
            hu=self._probe.hu if self._probe is not None else None,
        )

    def _make_backdrop(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        backdrop = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        backdrop.setDevicePixelRatio(ratio)
        backdrop.fill(theme.PICTURE)
        painter = QPainter(backdrop)
        painter.setClipRect(self.picture_rect)
        self._paint_picture(painter)
        if self._labels is not None:
            overlay.paint_shapes(
                painter,
                self.shapes(),
                self._map.transform(),
                layers=self._layers,
                findings=self._findings,
                is_ai=self._is_ai,
            )
        painter.end()
        return backdrop

    def _paint_picture(self, painter: QPainter) -> None:
        assert self._plane is not None
        assert self._volume is not None
        hu = self._plane.slice_of(self._volume.voxels_hu, self._number)
        picture = grey_picture(hu, *self._window_hu, inverted=self._inverted)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        columns, rows = self._plane.size
        painter.drawImage(self._map.transform().mapRect(QRectF(0, 0, columns, rows)), picture)

    def _paint_marks(self, painter: QPainter) -> None:
        pane_map, pane = self._map, self.picture_rect
        painter.setClipRect(pane)
        self._box_marks = overlay.box_marks(
            pane_map.plane,
            self._number,
            pane_map.transform(),
            findings=self._findings,
            layers=self._layers,
            selected_id=self._selected_id,
            is_ai=self._is_ai,
        )
        if self._crosshair_shown and self._cursor_mm is not None:
            boxes = [mark.rect for mark in self._box_marks]
            marks.paint_crosshair(painter, pane, self.to_px(self._cursor_mm), self.name, boxes)
        corners, middle = self._corners(), marks.scale_bar_room(pane) + 10
        reserved = [*marks.letter_places(pane), marks.scale_bar_place(pane)]
        reserved += occupied(corners, pane, middle)
        self._tags = overlay.paint_boxes(painter, self._box_marks, pane, reserved)
        marks.paint_letters(painter, pane, pane_map.plane.letters)
        marks.paint_scale_bar(painter, pane, pane_map.viewport.px_per_mm)
        paint_corners(painter, corners, pane, middle)
        painter.setClipping(False)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture from its cache, then the marks at the resolution of the device."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        if self._plane is None:
            painter.fillRect(self.rect(), theme.PICTURE)
            marks.paint_notice(painter, self.picture_rect, self._notice)
        else:
            if self._backdrop is None:
                self._backdrop = self._make_backdrop()
            painter.drawPixmap(0, 0, self._backdrop)
            self._paint_marks(painter)
        title = self.name.capitalize()
        marks.paint_strip(painter, QRectF(self.rect()), self.name, title, active=self._active)
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep zoom and focus in the new size."""
        if self._viewport is not None:
            rect = self.picture_rect
            self._set_viewport(self._viewport.resized(rect.width(), rect.height()))
