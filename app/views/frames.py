"""Renders the scene between two paintings of its pane."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QImage

from app.views.camera import Camera
from engine.errors import IsletError

if TYPE_CHECKING:
    from app.views.scene import Item, Scene

log = logging.getLogger(__name__)

_SLOW_FRAME_S = 0.045  # ours: 22 frames a second still follow the hand
_STILL_AFTER_MS = 150


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A rendered picture with the camera it was taken by."""

    picture: QImage
    camera: Camera


class Frames(QObject):
    """Keeps the latest frame, and makes the next one when the event loop is free.

    The scene is made with the first frame that has something to show, because making it takes
    long; nothing is rendered unless `make_soon` is called, which a hidden pane does not do.
    """

    made = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.latest: Frame | None = None
        self.failure: IsletError | None = None
        self.num_made = 0
        self._scene: Scene | None = None
        self._items: Mapping[str, Item] = {}
        self._camera: Camera | None = None
        self._size = (2, 2)
        self._is_stale = True
        self._is_moving = False
        self._is_closed = False
        self._still_s = 0.0
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self.make_now)
        self._rest = QTimer(self, singleShot=True, interval=_STILL_AFTER_MS)
        self._rest.timeout.connect(self._come_to_rest)

    @property
    def is_wanted(self) -> bool:
        """Whether there is something to render that has not been rendered."""
        possible = not self._is_closed and self.failure is None and self._camera is not None
        return possible and self._is_stale and bool(self._items)

    def show(self, items: Mapping[str, Item]) -> None:
        """Draw these surfaces from now on."""
        self._items, self._is_stale = items, True
        if not items:
            self.latest = None

    def look_from(self, camera: Camera | None, *, moving: bool = False) -> None:
        """Draw from here from now on; while `moving`, a slow scene is drawn at half size."""
        self._camera, self._is_stale = camera, True
        if camera is None:
            self.latest = None
        if moving:
            self._is_moving = True
            self._rest.start()

    def set_size(self, width: int, height: int) -> None:
        """Draw in this size, in pixels of the device."""
        size = max(2, width), max(2, height)
        if size != self._size:
            self._size, self._is_stale = size, True

    def make_soon(self) -> None:
        """Render once the event loop has painted what waits to be painted."""
        if self.is_wanted:
            self._soon.start()

    def make_now(self) -> None:
        """Render at once, if there is something to render."""
        self._soon.stop()
        if self.is_wanted and self._camera is not None:
            try:
                picture = self._render(self._camera)
            except IsletError as error:
                log.warning("Nothing is drawn in three dimensions: %s", error.message)
                self.failure = error
            else:
                self.latest, self._is_stale = Frame(picture, self._camera), False
                self.num_made += 1
            self.made.emit()

    def pause(self) -> None:
        """Render nothing until the next wish."""
        self._soon.stop()
        self._rest.stop()
        self._is_stale = self._is_stale or self._is_moving
        self._is_moving = False

    def close(self) -> None:
        """Give the graphics memory back; nothing is rendered afterwards."""
        self.pause()
        self._is_closed, self.latest = True, None
        if self._scene is not None:
            self._scene.close()
            self._scene = None

    def _render(self, camera: Camera) -> QImage:
        if self._scene is None:
            from app.views.scene import Scene  # VTK loads with the first case

            self._scene = Scene()
        coarse = 2 if self._is_moving and self._still_s > _SLOW_FRAME_S else 1
        width, height = (max(2, length // coarse) for length in self._size)
        started = time.perf_counter()
        self._scene.show(self._items)
        pixels = self._scene.render(width, height, camera)
        if coarse == 1:
            self._still_s = time.perf_counter() - started
        return QImage(pixels.data, width, height, width * 4, QImage.Format.Format_RGBX8888).copy()

    def _come_to_rest(self) -> None:
        self._is_moving, self._is_stale = False, True
        self.make_now()
