"""The great vessels and those that touch the pancreas."""

from __future__ import annotations

import numpy as np

from engine.data.phantom.pancreas import Gland
from engine.data.phantom.scene import Scene
from engine.data.phantom.shapes import curve
from engine.data.phantom.tissue import VALUE_OF

_AORTA = ((8, 27, 150), (8, 27, 90), (9, 26, 30), (8, 26, -30), (6, 28, -90), (4, 30, -160))
_CAVA = (
    (-24, 20, 150),
    (-25, 22, 90),
    (-24, 26, 30),
    (-22, 28, -30),
    (-20, 30, -90),
    (-18, 31, -160),
)
_CONFLUENCE = (-10.0, -1.0, -2.0)
_SMV = ((-6, -14, -150), (-9, -8, -90), (-10, -4, -40), _CONFLUENCE)
_PORTAL = (_CONFLUENCE, (-20, -3, 14), (-34, -2, 28), (-46, 4, 38))
_SMA = ((9, 20, 6), (8, 9, -2), (5, 4, -16), (4, -1, -50), (4, -8, -100), (5, -14, -150))
_CELIAC = ((9, 20, 22), (9, 8, 25), (8, 2, 27))
_HEPATIC_ARTERY = ((8, 2, 27), (-8, -8, 24), (-26, -9, 24), (-40, -4, 36))
_RENAL_VEINS = (
    ((-22, 27, -14), (6, 13, -16), (28, 26, -20), (44, 42, -24)),
    ((-24, 27, -28), (-44, 44, -34)),
)
_RENAL_ARTERIES = (
    ((8, 26, -20), (28, 36, -22), (46, 45, -24)),
    ((8, 26, -22), (-22, 42, -28), (-46, 46, -34)),
)


def paint_great_vessels(scene: Scene) -> None:
    """Paint aorta, vena cava and the renal vessels, behind the pancreas."""
    size = scene.pick(0.9, 1.15)
    for path in _RENAL_ARTERIES:
        scene.vessel(curve(path, 50), 2.6, "artery", "arteries")
    scene.vessel(
        curve(scene.jitter(_CAVA, 1.5), 260),
        11.0 * scene.pick(0.85, 1.15),
        "cava",
        "inferior_vena_cava",
    )
    for path in _RENAL_VEINS:
        scene.vessel(curve(path, 60), 4.2, "cava", "inferior_vena_cava")
    scene.vessel(curve(scene.jitter(_AORTA, 1.5), 260), 9.8 * size, "aorta", "aorta")
    if scene.spec.age > 55.0:
        _paint_plaques(scene, 9.8 * size)


def paint_pancreatic_vessels(scene: Scene, gland: Gland) -> None:
    """Paint the vessels that run along, behind and into the pancreas."""
    vein = curve(scene.jitter(_SMV, 1.0), 160)
    scene.vessel(vein, np.linspace(4.0, 6.0, 160), "portal", "superior_mesenteric_vein")
    start = vein[-1]
    portal = np.array(_PORTAL, dtype=np.float64)
    portal[0] = start
    scene.vessel(curve(portal, 70), 6.3 * scene.pick(0.9, 1.15), "portal", "portal_vein")
    splenic = np.vstack([start, _behind_gland(gland, back_mm=9.5, up_mm=1.0), (90, 22, 38)])
    scene.vessel(curve(splenic, 150), 3.9 * scene.pick(0.9, 1.2), "portal", "splenic_vein")
    for path, radius in ((_SMA, 3.4), (_CELIAC, 3.6), (_HEPATIC_ARTERY, 2.3)):
        scene.vessel(curve(path, 150), radius, "artery", "arteries")
    tail = _behind_gland(gland, back_mm=6.0, up_mm=8.0)
    tail[:, 2] += 5.0 * np.sin(np.arange(len(tail)) * 2.1 + scene.pick(0.0, 6.0))
    artery = np.vstack([(8, 2, 27), tail, (92, 20, 46)])
    scene.vessel(curve(artery, 200), 2.2, "artery", "arteries")
    _paint_mesentery(scene)


def _behind_gland(gland: Gland, *, back_mm: float, up_mm: float) -> np.ndarray:
    share = np.linspace(0.52, 0.98, 7)
    middle = gland.centreline_mm[(share * (len(gland.centreline_mm) - 1)).astype(int)]
    return np.add(middle, [0.0, back_mm, up_mm])


def _paint_mesentery(scene: Scene) -> None:
    for _ in range(8):
        root = np.array([scene.pick(-10, 6), scene.pick(-14, -4), scene.pick(-90, -35)])
        end = np.add(root, [scene.pick(-60, 60), scene.pick(-45, -10), scene.pick(-40, 5)])
        path = curve(scene.jitter(np.linspace(root, end, 4), 3.0), 70)
        tissue = "portal" if scene.rng.random() < 0.6 else "artery"
        scene.vessel(path, np.linspace(2.4, 1.1, 70), tissue, "arteries")
    for _ in range(int(scene.rng.integers(0, 4))):
        centre = np.array([scene.pick(-40, 40), scene.pick(-20, 12), scene.pick(-50, 30)])
        if scene.canvas.structure_at(centre) == VALUE_OF["fat"]:
            scene.vessel(
                np.array([centre, np.add(centre, [2, 1, 2])]),
                scene.pick(2.0, 4.0),
                "node",
                "lymph_node",
            )


def _paint_plaques(scene: Scene, radius_mm: float) -> None:
    for _ in range(int(scene.rng.integers(0, 6))):
        turn = scene.pick(0.0, 6.3)
        height = scene.pick(-100, 60)
        centre = np.array([8 + radius_mm * np.cos(turn), 27 + radius_mm * np.sin(turn), height])
        points = centre + np.linspace(-3, 3, 7)[:, None] * np.array([0.2, 0.2, 1.0])
        shape = scene.pick(1.0, 2.0)
        scene.tissues["plaque"] = scene.pick(450, 900)
        scene.vessel(points, shape, "plaque", "aorta")
