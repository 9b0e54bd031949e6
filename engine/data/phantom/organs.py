"""The solid organs round the pancreas: liver, spleen, kidneys, adrenals, gallbladder."""

from __future__ import annotations

import numpy as np

from engine.data.phantom.scene import Scene, inside_abdomen
from engine.data.phantom.shapes import curve, ellipsoid, smooth_union


def paint_organs(scene: Scene) -> None:
    """Paint the solid organs and, in some patients, their cysts and metastases."""
    _paint_liver(scene)
    _paint_spleen(scene)
    for side in (-1.0, 1.0):
        _paint_kidney(scene, side)
        _paint_adrenal(scene, side)


def _paint_liver(scene: Scene) -> None:
    canvas, pick = scene.canvas, scene.pick
    box = canvas.box((-140, -100, -75), (75, 90, 125))
    where = canvas.coordinates(box)
    right = ellipsoid(where, (-78, 4, 42 + pick(-6, 6)), (66, 84, 82 + pick(-8, 10)))
    tip = ellipsoid(where, (-98, 5, -5), (34, 58, 52 + pick(-8, 12)))
    left = ellipsoid(where, (-8, -58, 62), (62 + pick(-8, 14), 36, 38))
    shape = smooth_union(smooth_union(right, tip, 14.0), left, 22.0)
    # The stomach, kidney and porta hepatis press into the lower surface.
    for centre, radii in (((-48, 62, -28), (40, 42, 56)), ((-32, 4, 4), (34, 36, 34))):
        shape = np.maximum(shape, -ellipsoid(where, centre, radii))
    shape = inside_abdomen(where, shape)
    scene.organ(box, shape, "liver", "liver")
    _paint_liver_vessels(scene)
    if scene.rng.random() < 0.3:
        for _ in range(int(scene.rng.integers(1, 5))):
            _paint_liver_lesion(scene)
    if scene.rng.random() < 0.85:
        radii = np.array([13, 15, 26]) * pick(0.75, 1.25)
        bladder = ellipsoid(where, (-50, -50, -12), radii)
        scene.paint(box, bladder - 1.5, scene.tissues["gut_wall"], "gallbladder")
        scene.paint(box, bladder, scene.tissues["bile"] + pick(-4, 14), "gallbladder")


def _paint_liver_vessels(scene: Scene) -> None:
    branches = (
        ((-46, 4, 38), (-72, 2, 46), (-100, 10, 48), (-118, 20, 44)),
        ((-46, 4, 38), (-62, -14, 52), (-84, -34, 50), (-100, -45, 40)),
        ((-46, 4, 38), (-32, -30, 56), (-14, -54, 62), (14, -62, 64)),
        ((-22, 30, 96), (-50, 20, 88), (-86, 18, 76), (-112, 20, 70)),
        ((-22, 26, 96), (-40, -10, 86), (-58, -40, 74), (-64, -60, 60)),
    )
    for branch in branches:
        points = curve(scene.jitter(branch, 4.0), 60)
        tissue = "portal" if scene.spec.phase == "venous" else "liver"
        scene.vessel(points, np.linspace(4.5, 1.6, 60), tissue, "liver")


def _paint_liver_lesion(scene: Scene) -> None:
    centre = (scene.pick(-115, -50), scene.pick(-50, 50), scene.pick(10, 90))
    radius = scene.pick(3.0, 14.0)
    box = scene.canvas.box(tuple(c - radius for c in centre), tuple(c + radius for c in centre))
    where = scene.canvas.coordinates(box)
    shape = ellipsoid(where, centre, radius * scene.rng.uniform(0.8, 1.2, 3))
    inside_liver = shape + np.where(scene.canvas.structure[box] == 4, 0.0, 99.0)
    cystic = scene.rng.random() < 0.5
    hu = scene.pick(2, 14) if cystic else scene.tissues["liver"] - scene.pick(18, 50)
    scene.paint(box, inside_liver.astype(np.float32), hu, "liver_lesion", 1.5 if cystic else 3.5)


def _paint_spleen(scene: Scene) -> None:
    box = scene.canvas.box((55, -30, -20), (140, 95, 120))
    where = scene.canvas.coordinates(box)
    size = scene.pick(0.85, 1.15)
    shape = ellipsoid(where, (106, 42, 50), np.array([30, 44, 50]) * size)
    hilum = ellipsoid(where, (78, 20, 46), (24, 30, 40))
    shape = inside_abdomen(where, np.maximum(shape, -hilum))
    scene.organ(box, shape, "spleen", "spleen")
    if scene.rng.random() < 0.2:
        centre = np.array([84.0, 22.0, 20.0]) + scene.rng.normal(0, 4, 3)
        radius = scene.pick(4.0, 8.0)
        scene.organ(box, ellipsoid(where, centre, [radius] * 3), "spleen", "spleen")


def _paint_kidney(scene: Scene, side: float) -> None:
    z = (-24.0 if side > 0 else -36.0) + scene.pick(-8, 8)
    centre = np.array([side * 63.0, 50.0, z])
    box = scene.canvas.box(
        tuple(np.subtract(centre, [42, 42, 72])), tuple(np.add(centre, [42, 42, 72]))
    )
    where = scene.canvas.coordinates(box)
    # Upper poles lean towards the spine.
    lean = type(where)(x=where.x + side * 0.22 * (where.z - z), y=where.y, z=where.z)
    size = scene.pick(0.9, 1.08)
    shape = ellipsoid(lean, centre, np.array([29, 27, 55]) * size)
    hilum = centre - [side * 25.0, 4.0, 0.0]
    sinus = ellipsoid(lean, hilum, (19, 11, 24))
    scene.paint(box, shape - 7.0, scene.tissues["fat"], "fat")
    scene.organ(box, np.maximum(shape, -sinus), "cortex", "kidney")
    waves = 2.2 * np.sin(where.z * 0.42) + 1.8 * np.sin(np.arctan2(where.y - 50.0, lean.x) * 9.0)
    medulla = np.maximum(shape + 8.5 + waves, -(sinus - 3.0)).astype(np.float32)
    scene.organ(box, medulla, "medulla", "kidney")
    scene.paint(box, np.maximum(shape + 4.0, sinus), scene.tissues["fat"] + 12.0, "fat")
    if scene.rng.random() < 0.25:
        turn = scene.pick(-1.2, 1.2)
        aside = [side * 27 * np.cos(turn), 25 * np.sin(turn), scene.pick(-35, 35)]
        rim = np.add(centre, aside)
        cyst = ellipsoid(lean, rim, [scene.pick(5.0, 17.0)] * 3)
        scene.paint(box, cyst, scene.pick(0, 22), "cyst")


def _paint_adrenal(scene: Scene, side: float) -> None:
    start = np.array([side * 36.0, 34.0, 30.0])
    for limb in (-1.0, 1.0):
        end = np.add(start, [side * 12.0 + limb * 5.0, 14.0, -10.0])
        points = np.linspace(start, end, 16)
        scene.vessel(points, 2.6, "node", "adrenal")
