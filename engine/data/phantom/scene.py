"""What every painter of anatomy needs in hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.data.phantom.canvas import Array, Box, Canvas, Coordinates
from engine.data.phantom.shapes import tube
from engine.data.phantom.spec import PhantomSpec
from engine.data.phantom.tissue import VALUE_OF


@dataclass(frozen=True, slots=True)
class Scene:
    """A canvas, the patient it shows and the random numbers that make it.

    Args:
        canvas: What is painted on.
        spec: The patient and the lesion.
        tissues: Mean HU by tissue.
        rng: Source of everything random in the anatomy.
    """

    canvas: Canvas
    spec: PhantomSpec
    tissues: dict[str, float]
    rng: np.random.Generator

    def paint(
        self, box: Box, distance: Array, hu: Array | float, structure: str, soft_mm: float = 1.5
    ) -> Array:
        """Paint a structure by name; see `Canvas.paint`."""
        return self.canvas.paint(box, distance, hu, VALUE_OF[structure], soft_mm)

    def organ(self, box: Box, distance: Array, tissue: str, structure: str) -> Array:
        """Paint an organ with its tissue's HU and the gentle unevenness of perfusion."""
        uneven = self.canvas.texture(box, 2.5, 3.0)
        return self.paint(box, distance, uneven + self.tissues[tissue], structure)

    def vessel(
        self, points_mm: np.ndarray, radii_mm: np.ndarray | float, tissue: str, structure: str
    ) -> None:
        """Paint a tube through points of the average patient, closer together than its radius."""
        shape = tube(self.canvas, self.canvas.place(points_mm), radii_mm)
        if shape is not None:
            self.paint(shape.box, shape.distance, self.tissues[tissue], structure)

    def jitter(self, points_mm: object, spread_mm: float) -> np.ndarray:
        """Shift every one of (n, 3) points at random."""
        points = np.asarray(points_mm, dtype=np.float64)
        return points + self.rng.normal(0.0, spread_mm, points.shape)

    def pick(self, low: float, high: float) -> float:
        """Draw uniformly between two bounds."""
        return float(self.rng.uniform(low, high))


def cavity_distance(where: Coordinates) -> Array:
    """Distance to the wall of the abdominal cavity, negative inside, in mm."""
    return ellipse(where.x, where.y + 5.0, 134.0, 93.0)


def diaphragm_distance(where: Coordinates) -> Array:
    """Height above the diaphragm's domes, in mm; organs of the abdomen lie below 0."""
    right = 118.0 - 0.0050 * (where.x + 72.0) ** 2 - 0.0055 * (where.y + 8.0) ** 2
    left = 110.0 - 0.0050 * (where.x - 72.0) ** 2 - 0.0055 * (where.y + 8.0) ** 2
    return (where.z - np.maximum(right, left)).astype(np.float32)


def inside_abdomen(where: Coordinates, distance: Array, margin_mm: float = 2.0) -> Array:
    """Cut a shape off at the abdominal wall and the diaphragm."""
    wall = np.maximum(cavity_distance(where), diaphragm_distance(where)) + np.float32(margin_mm)
    return np.maximum(distance, wall)


def ellipse(x: Array, y: Array, radius_x: float, radius_y: float) -> Array:
    """Distance to the surface of a cylinder along z with an elliptic cross-section."""
    length = np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2)
    slope = np.sqrt((x / radius_x**2) ** 2 + (y / radius_y**2) ** 2) + np.float32(1e-9)
    return length * (length - 1.0) / slope
