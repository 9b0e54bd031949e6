"""Where a plane lies in its pane: zoom and pan, in mm and pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

MIN_ZOOM = 0.25  # ours: smaller than a quarter of the pane shows nothing more
MAX_ZOOM = 40.0  # ours: a voxel of 0.7 mm then fills about 60 pixels


@dataclass(frozen=True, slots=True)
class Viewport:
    """Maps plane mm (right and down from the plane's top left corner) to pane pixels.

    Args:
        size_px: (width, height) of the pane.
        extent_mm: (width, height) of the plane.
        zoom: 1 where the whole plane just fits.
        focus_mm: Point of the plane that is shown in the middle of the pane.
    """

    size_px: tuple[float, float]
    extent_mm: tuple[float, float]
    zoom: float
    focus_mm: tuple[float, float]

    @property
    def px_per_mm(self) -> float:
        """Pixels per mm, the same in both directions."""
        (width, height), (width_mm, height_mm) = self.size_px, self.extent_mm
        return max(1e-3, min(width / width_mm, height / height_mm) * self.zoom)

    def to_px(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """Map a point of the plane to the pane."""
        scale = self.px_per_mm
        return (
            self.size_px[0] / 2 + (x_mm - self.focus_mm[0]) * scale,
            self.size_px[1] / 2 + (y_mm - self.focus_mm[1]) * scale,
        )

    def to_mm(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Map a point of the pane to the plane."""
        scale = self.px_per_mm
        return (
            self.focus_mm[0] + (x_px - self.size_px[0] / 2) / scale,
            self.focus_mm[1] + (y_px - self.size_px[1] / 2) / scale,
        )

    def zoomed(self, factor: float, x_px: float, y_px: float) -> Viewport:
        """Return a closer or wider view that keeps the point under (x_px, y_px) in place."""
        zoom = min(MAX_ZOOM, max(MIN_ZOOM, self.zoom * factor))
        x_mm, y_mm = self.to_mm(x_px, y_px)
        closer = replace(self, zoom=zoom)
        now_x, now_y = closer.to_mm(x_px, y_px)
        focus = (closer.focus_mm[0] + x_mm - now_x, closer.focus_mm[1] + y_mm - now_y)
        return replace(closer, focus_mm=focus)

    def panned(self, dx_px: float, dy_px: float) -> Viewport:
        """Return the view moved with the hand by a number of pixels; the plane stays in reach."""
        x_mm, y_mm = self.to_mm(self.size_px[0] / 2 - dx_px, self.size_px[1] / 2 - dy_px)
        return replace(
            self,
            focus_mm=(
                min(self.extent_mm[0], max(0.0, x_mm)),
                min(self.extent_mm[1], max(0.0, y_mm)),
            ),
        )

    def resized(self, width_px: float, height_px: float) -> Viewport:
        """Return the same zoom and focus in a pane of another size."""
        return replace(self, size_px=(max(1.0, width_px), max(1.0, height_px)))

    def shows(self, x_mm: float, y_mm: float) -> bool:
        """Return whether a point of the plane lies inside the pane."""
        x, y = self.to_px(x_mm, y_mm)
        return 0 <= x <= self.size_px[0] and 0 <= y <= self.size_px[1]


def fit(size_px: tuple[float, float], extent_mm: tuple[float, float]) -> Viewport:
    """Return the view that shows the whole plane."""
    return Viewport(
        size_px=(max(1.0, size_px[0]), max(1.0, size_px[1])),
        extent_mm=extent_mm,
        zoom=1.0,
        focus_mm=(extent_mm[0] / 2, extent_mm[1] / 2),
    )
