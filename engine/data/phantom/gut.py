"""Stomach, duodenum, small bowel and colon, with wall, contents and gas."""

from __future__ import annotations

import numpy as np

from engine.data.phantom.scene import Scene, diaphragm_distance
from engine.data.phantom.shapes import Tube, curve, tube

_COLON = (
    ((-98, 26, -150), (-100, 24, -110), (-98, 14, -70), (-92, -10, -52), (-70, -50, -58)),
    ((-70, -50, -58), (-30, -72, -72), (10, -76, -66), (55, -70, -46), (92, -40, -12)),
    ((92, -40, -12), (112, 0, -6), (108, 36, -40), (104, 42, -90), (100, 42, -150)),
)
_STOMACH = (
    (62, 30, 92), (72, 16, 82), (74, -14, 62), (62, -40, 38), (38, -56, 18), (8, -56, 8),
    (-16, -44, 6),
)  # fmt: skip
_DUODENUM = (
    (-20, -40, 6), (-36, -24, 4), (-50, -4, -6), (-54, 4, -28), (-48, 10, -50),
    (-22, 14, -60), (8, 11, -58), (32, 8, -44), (38, 2, -28),
)  # fmt: skip


def paint_bowel(scene: Scene) -> None:
    """Paint colon, small bowel and stomach; the duodenum comes later, with the pancreas."""
    for segment in _COLON:
        points = curve(scene.jitter(segment, 5.0), 90)
        width = scene.pick(15.0, 22.0) + 2.5 * np.sin(np.arange(90) * 0.55)
        _paint_loop(scene, points, width, "colon", contents_hu=scene.pick(-60, 60), gas=0.55)
    for _ in range(int(scene.rng.integers(7, 11))):
        _paint_small_bowel(scene)
    _paint_jejunum_near_tail(scene)
    _paint_stomach(scene)


def paint_duodenum(scene: Scene) -> None:
    """Paint the duodenum round the head of the pancreas."""
    points = curve(scene.jitter(_DUODENUM, 2.0), 110)
    width = scene.pick(9.0, 11.5) + np.sin(np.arange(110) * 0.8)
    _paint_loop(scene, points, width, "duodenum", contents_hu=scene.pick(5, 70), gas=0.15)


def _paint_stomach(scene: Scene) -> None:
    fullness = scene.pick(0.65, 1.15)
    points = curve(scene.jitter(_STOMACH, 3.0), 120)
    radii = np.interp(np.arange(120), (0, 25, 60, 95, 119), (24, 33, 27, 19, 9)) * fullness
    shape = tube(scene.canvas, scene.canvas.place(points), radii)
    if shape is None:
        return
    where = scene.canvas.coordinates(shape.box)
    below = np.maximum(shape.distance, diaphragm_distance(where) + 2.0)
    clipped = Tube(shape.box, below.astype(np.float32), shape.along)
    # Water, food, or positive oral contrast.
    contents = scene.pick(0, 25) if scene.rng.random() < 0.7 else scene.pick(60, 220)
    _fill(scene, clipped, "stomach", contents, wall_mm=3.5, gas=0.3)


def _paint_small_bowel(scene: Scene) -> None:
    point = np.array([scene.pick(-65, 80), scene.pick(-62, -12), scene.pick(-135, -72)])
    heading = scene.rng.normal(size=3)
    path = [point]
    for _ in range(7):
        heading = 0.55 * heading + scene.rng.normal(size=3)
        heading[2] *= 0.7
        point = point + 17.0 * heading / np.linalg.norm(heading)
        point = np.clip(point, (-78, -72, -150), (88, 8, -62))
        path.append(point + scene.rng.normal(0, 0.5, 3))
    contents = scene.pick(5, 75)
    _paint_loop(
        scene, curve(path, 70), scene.pick(9, 14), "small_bowel", contents_hu=contents, gas=0.2
    )


def _paint_jejunum_near_tail(scene: Scene) -> None:
    """Paint loops against body and tail, with the HU of lesions: the classic trap."""
    for _ in range(int(scene.rng.integers(1, 4))):
        start = np.array([scene.pick(28, 70), scene.pick(-34, -14), scene.pick(-42, -14)])
        path = start + np.cumsum(scene.rng.normal(0, 10, (4, 3)) * [1.2, 0.6, 0.8], axis=0)
        path = np.clip(path, (20, -52, -62), (98, -2, 4))
        contents = scene.pick(8, 85)
        radius = scene.pick(7, 12)
        _paint_loop(scene, curve(path, 40), radius, "small_bowel", contents_hu=contents, gas=0.1)


def _paint_loop(
    scene: Scene,
    points: np.ndarray,
    radii: np.ndarray | float,
    structure: str,
    *,
    contents_hu: float,
    gas: float,
) -> None:
    shape = tube(scene.canvas, scene.canvas.place(points), radii)
    if shape is not None:
        _fill(scene, shape, structure, contents_hu, wall_mm=2.2, gas=gas)


def _fill(
    scene: Scene, shape: Tube, structure: str, contents_hu: float, *, wall_mm: float, gas: float
) -> None:
    box = shape.box
    scene.organ(box, shape.distance, "gut_wall", structure)
    lumen = shape.distance + np.float32(wall_mm)
    lumps = scene.canvas.texture(box, 7.0, 3.0)
    scene.paint(box, lumen, contents_hu + lumps, structure)
    # Gas rises to the front; bubbles gather along some stretches of the loop only.
    stretch = np.sin(shape.along * scene.pick(6.0, 16.0) + scene.pick(0.0, 6.3))
    if gas > 0.0:
        y = scene.canvas.y[box[1]][None, :, None]
        inside = lumen < 0.0
        if not inside.any():
            return
        front = np.where(inside, y, np.inf).min(axis=1, keepdims=True)
        depth = (y - front) - 26.0 * gas * np.clip(stretch + gas, 0.0, None)
        bubble = np.maximum(lumen + 0.5, depth).astype(np.float32)
        bubble = np.where(np.isfinite(bubble), bubble, np.float32(99.0))
        scene.paint(box, bubble, -880.0, "bowel_gas")
