"""The pancreas: a curved, tapered, lobulated gland with a duct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.data.phantom.canvas import SmoothField
from engine.data.phantom.scene import Scene
from engine.data.phantom.shapes import curve, tube

_UNCINATE_TO_TAIL = (
    (-20, 6, -44), (-32, 1, -30), (-31, -4, -13), (-20, -12, -4), (-7, -18, 2),
    (14, -20, 9), (40, -11, 16), (64, 6, 22), (86, 19, 30),
)  # fmt: skip
_RADII_MM = (8.0, 14.0, 14.5, 11.0, 8.0, 9.2, 9.4, 9.6, 6.5)
_NUM_POINTS = 130
_HEIGHT = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class Gland:
    """The course of the pancreas, from the uncinate process to the tail.

    Args:
        centreline_mm: (n, 3) points (x, y, z) of the average patient.
        radii_mm: (n,) half-thickness at every point.
        duct_mm: (n,) radius of the duct at every point.
    """

    centreline_mm: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    duct_mm: NDArray[np.float64]


def draw_gland(scene: Scene) -> Gland:
    """Draw the course and thickness of one patient's pancreas."""
    points = scene.jitter(_UNCINATE_TO_TAIL, 2.0)
    # Glands lie obliquely, level or horseshoe-shaped: the tail's height differs most.
    share = np.linspace(-1.0, 1.0, len(points))
    points[:, 2] += scene.pick(-8, 14) * np.clip(share, 0.0, None)
    points[:, 1] += scene.pick(-4, 5) * np.clip(share, 0.0, None)
    centreline = curve(points, _NUM_POINTS)
    knots = np.linspace(0.0, 1.0, len(_RADII_MM))
    radii = np.asarray(_RADII_MM) * scene.rng.uniform(0.88, 1.12, len(knots))
    radii = np.interp(np.linspace(0.0, 1.0, _NUM_POINTS), knots, radii)
    # ours: 58 to 112 mL drawn; vessels and atrophy take their share.
    shrunk_ml = max(scene.spec.age - 55.0, 0.0) * 0.4
    volume_ml = float(np.clip(scene.rng.normal(84, 14) - shrunk_ml, 58, 112))
    step = np.linalg.norm(np.diff(centreline, axis=0), axis=1).mean()
    drawn_ml = float(np.pi * _HEIGHT * np.sum(radii**2) * step) / 1000.0
    radii *= np.sqrt(volume_ml / drawn_ml)
    old = max(scene.spec.age - 60.0, 0.0) / 60.0
    duct = np.full(_NUM_POINTS, scene.pick(0.5, 1.1) + old)
    return Gland(centreline_mm=centreline, radii_mm=radii, duct_mm=duct)


def paint_pancreas(scene: Scene, gland: Gland) -> None:
    """Paint the gland with its lobules and its duct."""
    placed = scene.canvas.place(gland.centreline_mm)
    shape = tube(scene.canvas, placed, gland.radii_mm, reach_mm=7.0, height=_HEIGHT)
    if shape is None:
        return
    axes = scene.canvas.axes(shape.box)
    lobules = SmoothField(scene.rng, axes, 5.0).on_grid(axes)
    old = np.clip((scene.spec.age - 30.0) / 50.0, 0.0, 1.0)
    surface = shape.distance + np.float32(0.55 + 0.65 * old) * np.clip(lobules, -2.0, 2.0)
    # A sheath of fat keeps the border visible, thinner in lean patients.
    sheath_mm = np.float32(0.8 + 2.2 * scene.spec.fat)
    fat = scene.tissues["fat"] + 14.0 + np.abs(scene.canvas.texture(shape.box, 8.0, 2.0))
    scene.paint(shape.box, surface - sheath_mm, fat, "fat")
    hu = scene.tissues["pancreas"] + scene.canvas.texture(shape.box, 3.5, 2.5)
    clefts = np.exp(-((lobules / 0.22) ** 2)) * np.float32(26.0 * old**2 * (0.4 + scene.spec.fat))
    scene.paint(shape.box, surface, hu - clefts, "pancreas")
    _paint_duct(scene, gland)


def _paint_duct(scene: Scene, gland: Gland) -> None:
    first, last = int(0.12 * _NUM_POINTS), int(0.97 * _NUM_POINTS)
    course = slice(first, last)
    radii = np.minimum(gland.duct_mm, 0.62 * gland.radii_mm)[course]
    placed = scene.canvas.place(gland.centreline_mm[course])
    shape = tube(scene.canvas, placed, radii)
    if shape is not None:
        # Its label stays that of the gland: the duct is part of the pancreas.
        scene.paint(shape.box, shape.distance, scene.tissues["duct"], "pancreatic_duct", 1.8)
