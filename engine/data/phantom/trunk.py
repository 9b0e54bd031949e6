"""The body wall: skin, fat, muscle, spine and ribs, and the lung bases above the diaphragm."""

from __future__ import annotations

import numpy as np

from engine.data.phantom.canvas import Array, Box, Coordinates
from engine.data.phantom.scene import Scene, cavity_distance, diaphragm_distance, ellipse
from engine.data.phantom.shapes import curve, tube

_VERTEBRA_PITCH_MM = 35.0
_SPINE_Y_MM = 60.0


def paint_trunk(scene: Scene) -> None:
    """Paint everything that encloses the abdominal organs, and the fat between them."""
    box = scene.canvas.everywhere
    where = scene.canvas.coordinates(box)
    wall_mm = cavity_distance(where)
    _paint_wall(scene, box, where, wall_mm)
    _paint_lungs(scene, box, where, wall_mm)
    _paint_muscles(scene)
    _paint_spine(scene)
    _paint_ribs(scene)


def _paint_wall(scene: Scene, box: Box, where: Coordinates, wall_mm: Array) -> None:
    # Fat is thickest at the flanks and the front, thin over the spine.
    fat_mm = 7.0 + 24.0 * scene.spec.fat
    front = np.clip(-where.y / 90.0, -0.5, 1.0)
    muscle_mm = np.float32(12.0)
    skin = wall_mm - muscle_mm - np.float32(fat_mm) * (0.85 + 0.25 * front) - 2.0
    fat = scene.tissues["fat"]
    scene.paint(box, skin, 5.0, "skin")
    scene.paint(box, skin + 2.0, fat + scene.canvas.texture(box, 3.0, 3.0), "fat")
    marbling = scene.canvas.texture(box, 7.0, 3.0)
    scene.paint(box, wall_mm - muscle_mm, scene.tissues["muscle"] + marbling, "muscle")
    # Strands of small vessels make visceral fat less even than that under the skin.
    strands = np.abs(scene.canvas.texture(box, 9.0, 2.0))
    scene.paint(box, wall_mm, fat + 4.0 + strands, "fat")


def _paint_lungs(scene: Scene, box: Box, where: Coordinates, wall_mm: Array) -> None:
    lungs = np.maximum(wall_mm + 2.0, -diaphragm_distance(where))
    scene.paint(box, lungs, scene.tissues["lung"] + scene.canvas.texture(box, 14.0, 8.0), "lung")
    middle = np.maximum(ellipse(where.x, where.y - 30.0, 38.0, 62.0), lungs)
    scene.paint(box, middle, scene.tissues["fat"] + 20.0, "fat")
    heart = np.sqrt(
        ((where.x - 28.0) / 62.0) ** 2
        + ((where.y + 42.0) / 48.0) ** 2
        + ((where.z - 148.0) / 48.0) ** 2
    )
    shape = np.maximum((heart - 1.0) * 48.0, -diaphragm_distance(where) + 2.0)
    scene.paint(box, shape, scene.tissues["heart"], "heart")


def _paint_muscles(scene: Scene) -> None:
    canvas = scene.canvas
    low, high = float(canvas.z[0]) / 0.85, float(canvas.z[-1]) / 0.85
    for side in (-1.0, 1.0):
        box = canvas.box((min(side * 85, 0), 40, low), (max(side * 85, 0), 125, high))
        where = canvas.coordinates(box)
        erector = ellipse(where.x - side * 34.0, where.y - 88.0, 30.0, 17.0)
        size = np.clip((18.0 - where.z) / 90.0, 0.0, 1.0)
        psoas = ellipse(where.x - side * (34.0 + 8.0 * size), where.y - 62.0, 17.0, 20.0)
        psoas = psoas + 17.0 * (1.0 - np.sqrt(size))
        quadratus = ellipse(where.x - side * 68.0, where.y - 78.0, 22.0, 9.0)
        quadratus = np.maximum(quadratus, where.z - 10.0)
        for shape in (erector, psoas, quadratus):
            scene.organ(box, shape, "muscle", "muscle")


def _paint_spine(scene: Scene) -> None:
    canvas = scene.canvas
    low, high = float(canvas.z[0]) / 0.85, float(canvas.z[-1]) / 0.85
    box = canvas.box((-48, 28, low), (48, 118, high))
    where = canvas.coordinates(box)
    # Position within one vertebra and its disc, -0.5 to 0.5 of the pitch; 0 is mid-vertebra.
    turn = where.z / _VERTEBRA_PITCH_MM
    within = (turn - np.round(turn)) * np.float32(_VERTEBRA_PITCH_MM)
    y = where.y - _SPINE_Y_MM
    waist = 2.0 - 4.0 * np.abs(within) / _VERTEBRA_PITCH_MM
    column = ellipse(where.x, y, 22.0, 17.0) + waist
    bone = np.maximum(column, np.abs(within) - 13.5)
    scene.paint(box, column + 1.0, scene.tissues["disc"], "vertebrae")
    # Arch and processes; sparse cortical shell round darker marrow.
    arch = ellipse(where.x, y - 26.0, 17.0, 15.0)
    arch = np.maximum(arch, np.abs(within + 4.0) - 12.0)
    spinous = np.maximum(
        np.maximum(np.abs(where.x) - 3.5, np.abs(y - 44.0) - 14.0), np.abs(within + 8.0) - 9.0
    )
    transverse = np.maximum(
        np.maximum(np.abs(y - 24.0 - 0.12 * np.abs(where.x)) - 4.0, np.abs(where.x) - 40.0),
        np.abs(within) - 6.0,
    )
    whole = np.minimum(np.minimum(bone, arch), np.minimum(spinous, transverse))
    trabecular = scene.tissues["marrow"] + canvas.texture(box, 16.0, 8.0)
    scene.paint(box, whole, scene.tissues["cortical"], "vertebrae")
    scene.paint(box, whole + 2.2, trabecular, "vertebrae")
    scene.paint(box, ellipse(where.x, y - 25.5, 11.0, 8.5), scene.tissues["canal"], "spinal_canal")


def _paint_ribs(scene: Scene) -> None:
    for level in range(8):
        start_z = 135.0 - 24.0 * level
        # The last two ribs end early.
        reach = (0.78, 0.78, 0.76, 0.74, 0.70, 0.62, 0.46, 0.30)[level]
        for side in (-1.0, 1.0):
            _paint_rib(scene, side, start_z, reach)


def _paint_rib(scene: Scene, side: float, start_z: float, reach: float) -> None:
    angle = np.linspace(0.09, reach, 90) * np.pi
    points = np.stack(
        [
            side * 139.5 * np.sin(angle),
            -5.0 + 98.5 * np.cos(angle),
            start_z - 62.0 * np.sin(angle / 2.0) ** 2 * (1.0 + 0.2 * np.sin(angle)),
        ],
        axis=1,
    )
    shape = tube(scene.canvas, scene.canvas.place(curve(points, 110)), 4.2, height=1.35)
    if shape is not None:
        scene.paint(shape.box, shape.distance, scene.tissues["cortical"], "ribs")
        scene.paint(shape.box, shape.distance + 2.0, scene.tissues["marrow"], "ribs")
