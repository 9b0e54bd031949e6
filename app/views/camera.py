"""Where the three-dimensional view looks from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.geometry import Geometry

VIEW_ANGLE_DEG = 30.0
_DEG_PER_PX = 0.5
_NEAREST_MM, _FARTHEST_MM = 10.0, 3000.0
_TANGENT = math.tan(math.radians(VIEW_ANGLE_DEG / 2))

# (azimuth, elevation) in degrees.
PRESETS = {
    "anterior": (0.0, 0.0),
    "posterior": (180.0, 0.0),
    "left": (90.0, 0.0),
    "right": (-90.0, 0.0),
    "head": (0.0, 90.0),
    "feet": (0.0, -90.0),
}


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera on a sphere around its focus, head up.

    Args:
        azimuth_deg: 0 looks from the front, 90 from the patient's left.
        elevation_deg: 90 looks from the head, -90 from the feet.
        focus_mm: (x, y, z) LPS of what is in the middle of the pane, in mm.
        height_mm: What the height of the pane covers at the focus.
    """

    azimuth_deg: float
    elevation_deg: float
    focus_mm: tuple[float, float, float]
    height_mm: float

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3): unit vectors of screen right, screen up and towards the viewer, LPS, as rows."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        sin_a, cos_a = math.sin(azimuth), math.cos(azimuth)
        sin_e, cos_e = math.sin(elevation), math.cos(elevation)
        return np.array(
            [
                [cos_a, sin_a, 0.0],
                [-sin_a * sin_e, cos_a * sin_e, cos_e],
                [sin_a * cos_e, -cos_a * cos_e, sin_e],
            ]
        )

    @property
    def distance_mm(self) -> float:
        """Distance of the camera from its focus."""
        return self.height_mm / 2 / _TANGENT

    @property
    def position_mm(self) -> tuple[float, float, float]:
        """(x, y, z) LPS of the camera in mm."""
        x, y, z = np.asarray(self.focus_mm) + self.axes[2] * self.distance_mm
        return float(x), float(y), float(z)

    def project(self, positions_mm: ArrayLike, size_px: tuple[float, float]) -> NDArray[np.float64]:
        """Map patient positions to a pane.

        Args:
            positions_mm: (n, 3) LPS in mm.
            size_px: (width, height) of the pane.

        Returns:
            (n, 3): x and y in pixels from the top left, and nearness in mm, more is closer.
        """
        along = (np.asarray(positions_mm, dtype=np.float64) - self.focus_mm) @ self.axes.T
        away = np.maximum(self.distance_mm - along[:, 2], 1.0)
        scale = size_px[1] / self.height_mm * self.distance_mm / away
        x = size_px[0] / 2 + along[:, 0] * scale
        y = size_px[1] / 2 - along[:, 1] * scale
        return np.stack((x, y, along[:, 2]), axis=1)

    def rotated(self, dx_px: float, dy_px: float) -> Camera:
        """Return the camera after the hand turned the body by a number of pixels."""
        azimuth = (self.azimuth_deg - dx_px * _DEG_PER_PX + 180.0) % 360.0 - 180.0
        elevation = min(90.0, max(-90.0, self.elevation_deg + dy_px * _DEG_PER_PX))
        return replace(self, azimuth_deg=azimuth, elevation_deg=elevation)

    def panned(self, dx_px: float, dy_px: float, pane_height_px: float) -> Camera:
        """Return the camera after the hand moved the body by a number of pixels."""
        mm_per_px = self.height_mm / max(1.0, pane_height_px)
        right, up, _ = self.axes
        x, y, z = np.asarray(self.focus_mm) + (up * dy_px - right * dx_px) * mm_per_px
        return replace(self, focus_mm=(float(x), float(y), float(z)))

    def zoomed(self, factor: float) -> Camera:
        """Return a closer (> 1) or wider (< 1) view."""
        height = min(_FARTHEST_MM, max(_NEAREST_MM, self.height_mm / factor))
        return replace(self, height_mm=height)

    def preset(self, name: str) -> Camera:
        """Return the same focus and zoom seen from a side of `PRESETS`."""
        azimuth, elevation = PRESETS[name]
        return replace(self, azimuth_deg=azimuth, elevation_deg=elevation)


def whole_view(geometry: Geometry) -> Camera:
    """Return the camera that sees a whole grid, a little from the right and above."""
    ends = geometry.to_patient([[0, 0, 0], [n - 1 for n in geometry.shape]])
    x, y, z = ends.mean(axis=0)
    extent = np.abs(ends[1] - ends[0])
    height = float(max(extent[2] * 1.25, extent[0] * 0.75, 50.0))
    return Camera(-20.0, 12.0, (float(x), float(y), float(z)), height)


def focused(
    camera: Camera, focus_mm: tuple[float, float, float], height_mm: float | None = None
) -> Camera:
    """Return the camera with (x, y, z) LPS in its middle, in another height if one is given."""
    return replace(camera, focus_mm=focus_mm, height_mm=height_mm or camera.height_mm)
