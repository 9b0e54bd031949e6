"""What a mouse drag means in a plane: the Radiology profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from PySide6.QtCore import QPointF, Qt

DEAD_ZONE_PX = 4.0
_ZOOM_PER_PX = 1.01  # ours: 70 pixels double the size


class DragKind(Enum):
    """What a drag changes."""

    WINDOW = "window"
    PAN = "pan"
    ZOOM = "zoom"
    SCROLL = "scroll"


@dataclass(frozen=True, slots=True)
class Drag:
    """A button that is down.

    Args:
        kind: What moving changes.
        button: The button that started it.
        start: Where it went down, in pane pixels.
        last: Where it was seen last.
        window_hu: (width, centre) when it went down.
        begun: Whether it has left the dead zone; before that it is a click.
        locked: Whether it started on an annotation and therefore stays a click.
    """

    kind: DragKind
    button: Qt.MouseButton
    start: QPointF
    last: QPointF
    window_hu: tuple[float, float]
    begun: bool = False
    locked: bool = False

    def moved(self, to: QPointF) -> Drag:
        """Return the drag with the pointer at `to`."""
        left_dead_zone = (to - self.start).manhattanLength() > DEAD_ZONE_PX
        begun = self.begun or (left_dead_zone and not self.locked)
        return replace(self, last=to, begun=begun)

    def window_at(self, to: QPointF) -> tuple[float, float]:
        """Return the window for the pointer at `to`: right is wider, down is higher."""
        width, centre = self.window_hu
        travel = to - self.start
        return (
            max(1.0, round(width + _hu_of(travel.x(), width))),
            float(round(centre + _hu_of(travel.y(), width))),
        )

    def zoom_factor(self, to: QPointF) -> float:
        """Return how much closer the view comes on the way to `to`; up is closer."""
        return _ZOOM_PER_PX ** (self.last.y() - to.y())


def kind_of(button: Qt.MouseButton, modifiers: Qt.KeyboardModifier) -> DragKind | None:
    """Return what a drag with this button means, or None."""
    if button == Qt.MouseButton.LeftButton:
        return DragKind.PAN if modifiers & Qt.KeyboardModifier.ShiftModifier else DragKind.WINDOW
    return {
        Qt.MouseButton.MiddleButton: DragKind.PAN,
        Qt.MouseButton.RightButton: DragKind.ZOOM,
    }.get(button)


def _hu_of(travel_px: float, width: float) -> float:
    """Turn pixels into HU: finer in a narrow window, faster the further the hand goes."""
    per_px = max(0.5, width / 300)  # ours: 300 pixels double the window
    return travel_px * per_px * (1 + abs(travel_px) / 400)
