"""Pancreas, lesions and boxes in three dimensions."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.views import marks


class VolumeView(QWidget):
    """Shows surfaces in three dimensions."""

    finding_requested = Signal(str)
    maximise_requested = Signal()
    activated = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = "volume"
        self.setObjectName("view_volume")
        self.setMinimumSize(160, 130)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._active = False

    def set_active(self, active: bool) -> None:
        """Mark this pane as the one that keys act on."""
        self._active = active
        self.update()

    def finalize(self) -> None:
        """Give the graphics memory back."""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the scene and its marks."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.PICTURE)
        marks.paint_strip(painter, QRectF(self.rect()), self.name, "3D", active=self._active)
        painter.end()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask to be maximised, or restored."""
        self.maximise_requested.emit()
