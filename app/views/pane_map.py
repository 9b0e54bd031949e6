"""Maps between a patient, a plane of a volume and the pane that shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QTransform

from app.views.plane import Plane
from app.views.viewport import Viewport


@dataclass(frozen=True, slots=True, eq=False)
class PaneMap:
    """A plane as it lies in its pane.

    Args:
        plane: The plane of the volume.
        viewport: Its zoom and pan.
    """

    plane: Plane
    viewport: Viewport

    def to_mm(self, position_mm: tuple[float, float, float]) -> tuple[float, float]:
        """Return (x, y) in mm from the plane's top left corner, along the viewing direction."""
        x, y = self.plane.to_plane(np.asarray([position_mm]))[0]
        width, height = self.plane.pixel_mm
        return float(x) * width, float(y) * height

    def to_px(self, position_mm: tuple[float, float, float]) -> QPointF:
        """Return the point of the pane that shows a position (x, y, z) LPS in mm."""
        return QPointF(*self.viewport.to_px(*self.to_mm(position_mm)))

    def to_plane(self, point: QPointF) -> tuple[float, float]:
        """Return the plane coordinates, in voxels, under a point of the pane."""
        x_mm, y_mm = self.viewport.to_mm(point.x(), point.y())
        width, height = self.plane.pixel_mm
        return x_mm / width, y_mm / height

    def transform(self) -> QTransform:
        """Return the map from plane coordinates, in voxels, to the pane."""
        left, top = self.viewport.to_px(0, 0)
        scale = self.viewport.px_per_mm
        width, height = self.plane.pixel_mm
        return QTransform(scale * width, 0, 0, scale * height, left, top)

    def with_in_view(self, position_mm: tuple[float, float, float]) -> Viewport | None:
        """Return the viewport moved so that it shows a position, or None where it does."""
        x_mm, y_mm = self.to_mm(position_mm)
        if self.viewport.shows(x_mm, y_mm):
            return None
        x, y = self.viewport.to_px(x_mm, y_mm)
        width, height = self.viewport.size_px
        return self.viewport.panned(width / 2 - x, height / 2 - y)
