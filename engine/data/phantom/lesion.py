"""Lesions of the pancreas: what tells the subtypes apart is structure, not brightness."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.data.phantom.canvas import Array, Box, SmoothField
from engine.data.phantom.pancreas import Gland
from engine.data.phantom.scene import Scene
from engine.data.phantom.tissue import VALUE_OF

_KEPT = ("aorta", "inferior_vena_cava", "portal_vein", "superior_mesenteric_vein", "vertebrae")


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Where a lesion grows.

    Args:
        index: The gland's nearest centreline point.
        centre_mm: (3,) centre in the grid's own space, (x, y, z).
        radius_mm: Mean radius.
    """

    index: int
    centre_mm: NDArray[np.float32]
    radius_mm: float


def draw_site(scene: Scene, gland: Gland) -> Site:
    """Draw where in the gland a lesion grows, and how large it is."""
    # ours: ductal lesions favour the head; sizes are alike in all subtypes.
    share = scene.rng.beta(1.4, 1.8) if scene.spec.subtype == 0 else scene.rng.beta(1.6, 1.4)
    index = int((0.1 + 0.82 * share) * (len(gland.centreline_mm) - 1))
    radius = float(np.clip(np.exp(scene.rng.normal(np.log(11.0), 0.33)), 5.0, 22.5))
    aside = scene.rng.normal(size=3) * [0.5, 0.8, 0.8]
    aside *= scene.pick(0.1, 0.75) * gland.radii_mm[index] / np.linalg.norm(aside)
    # Large lesions grow forwards: the spine and great vessels are behind.
    aside[1] -= 0.5 * max(radius - gland.radii_mm[index], 0.0)
    centre = scene.canvas.place((gland.centreline_mm[index] + aside)[None])[0]
    return Site(index=index, centre_mm=centre, radius_mm=radius)


def obstruct_duct(scene: Scene, gland: Gland, site: Site) -> Gland:
    """Widen the duct and thin the gland upstream (towards the tail) of a ductal lesion."""
    along = np.arange(len(gland.radii_mm))
    upstream = np.clip((along - site.index) / 8.0, 0.0, 1.0)
    wide_mm = scene.pick(2.4, 4.2)
    thin = scene.pick(0.12, 0.38)
    beads = 1.0 + 0.12 * np.sin(along * 0.7)
    duct = gland.duct_mm * (1.0 - upstream) + np.maximum(gland.duct_mm, wide_mm) * beads * upstream
    return replace(gland, duct_mm=duct, radii_mm=gland.radii_mm * (1.0 - thin * upstream))


def paint_lesion(scene: Scene, site: Site) -> None:
    """Paint the lesion of the scene's subtype, leaving the great vessels in place."""
    reach = np.float32(site.radius_mm * 1.5 + 8.0)
    box = scene.canvas.box_around(site.centre_mm - reach, site.centre_mm + reach)
    before = scene.canvas.structure[box]
    kept = np.isin(before, [VALUE_OF[name] for name in _KEPT])
    free = np.where(kept, np.float32(50.0), np.float32(-50.0))
    painter = _PAINTERS[scene.spec.subtype or 0]
    painter(scene, site, box, free)


def _paint_solid(scene: Scene, site: Site, box: Box, free: Array) -> None:
    """Hypodense, ill-defined, uneven; some necrotic in the middle."""
    axes = scene.canvas.axes(box)
    uneven = SmoothField(scene.rng, axes, 8.0).on_grid(axes)
    spikes = SmoothField(scene.rng, axes, 4.0).on_grid(axes)
    distance = _ball(scene, site, box, flat=0.25)
    distance = distance + uneven * np.float32(0.10 * site.radius_mm) + spikes * np.float32(0.7)
    distance = np.maximum(distance, free)
    level = _solid_level(scene)
    hu = level + 5.0 * spikes + 4.0 * uneven
    if scene.rng.random() < 0.5:
        core = np.clip(-(distance + 0.35 * site.radius_mm) / 4.0, 0.0, 1.0)
        hu = hu - core * np.float32(scene.pick(10, 30))
    scene.paint(box, distance, hu, "lesion", soft_mm=4.5)


def _solid_level(scene: Scene) -> float:
    gland = scene.tissues["pancreas"]
    weak = scene.spec.phase == "unenhanced"
    return gland - (scene.pick(10, 24) if weak else scene.pick(16, 56))


def _paint_hypervascular(scene: Scene, site: Site, box: Box, free: Array) -> None:
    """Round and sharp: brighter than the gland, throughout or as a rim round a dark centre."""
    distance = np.maximum(_ball(scene, site, box, flat=0.12), free)
    gland = scene.tissues["pancreas"]
    weak = {"arterial": 1.0, "venous": 0.75, "unenhanced": 0.5}[scene.spec.phase]
    texture = scene.canvas.texture(box, 3.0, 1.0)
    if scene.rng.random() < 0.2:
        bright = gland + weak * scene.pick(22, 55)
        scene.paint(box, distance, bright + texture, "lesion", soft_mm=1.5)
        return
    # The rim is thin enough that the mean of rim and centre says little.
    rim_mm = float(np.clip(scene.pick(0.16, 0.23) * site.radius_mm, 1.9, 3.6))
    rim_hu = gland + weak * scene.pick(36, 76)
    centre_hu = gland - (scene.pick(10, 45) if weak == 0.5 else scene.pick(62, 132))
    scene.paint(box, distance, rim_hu + texture, "lesion", soft_mm=1.5)
    scene.paint(box, distance + np.float32(rim_mm), centre_hu + texture, "lesion", soft_mm=2.0)


def _paint_cystic(scene: Scene, site: Site, box: Box, free: Array) -> None:
    """Lobulated, sharp and very even inside, often divided by septa."""
    axes = scene.canvas.axes(box)
    z, y, x = axes
    distance = np.full((len(z), len(y), len(x)), 99.0, dtype=np.float32)
    nearest = np.zeros(distance.shape, dtype=np.float32)
    second = np.full(distance.shape, 99.0, dtype=np.float32)
    num_lobes = int(scene.rng.integers(3, 7))
    for _ in range(num_lobes):
        aside = scene.rng.normal(size=3)
        aside *= 0.55 * site.radius_mm / np.linalg.norm(aside)
        radius = site.radius_mm * scene.pick(0.58, 0.82)
        lobe = _sphere(axes, site.centre_mm + aside, radius)
        second = np.minimum(second, np.maximum(distance, lobe))
        distance = np.minimum(distance, lobe)
    nearest = second - distance
    distance = np.maximum(distance, free)
    fluid = _fluid_level(scene)
    even = scene.canvas.texture(box, 0.6, 0.6)
    scene.paint(box, distance, fluid + even, "lesion", soft_mm=1.5)
    # Septa stand where two lobes meet.
    septum_hu = scene.tissues["pancreas"] + scene.pick(-15, 20)
    septa = np.maximum(nearest - np.float32(scene.pick(1.0, 1.9)), distance + 1.0)
    if site.radius_mm > 6.5 and scene.rng.random() < 0.85:
        scene.paint(box, septa, septum_hu, "lesion", soft_mm=1.5)


def _fluid_level(scene: Scene) -> float:
    gland = scene.tissues["pancreas"]
    # Thick mucus and countless tiny cysts look as bright as a solid lesion.
    if scene.spec.phase == "unenhanced":
        return gland - scene.pick(14, 32)
    return gland - scene.pick(26, 80)


def _ball(scene: Scene, site: Site, box: Box, *, flat: float) -> Array:
    z, y, x = scene.canvas.axes(box)
    radii = site.radius_mm * scene.rng.uniform(1.0 - flat, 1.0 + flat, 3)
    square = (
        ((z - site.centre_mm[2]) / np.float32(radii[2]))[:, None, None] ** 2
        + ((y - site.centre_mm[1]) / np.float32(radii[1]))[None, :, None] ** 2
        + ((x - site.centre_mm[0]) / np.float32(radii[0]))[None, None, :] ** 2
    )
    return ((np.sqrt(square) - 1.0) * np.float32(site.radius_mm)).astype(np.float32)


def _sphere(axes: tuple[Array, Array, Array], centre: NDArray[np.floating], radius: float) -> Array:
    z, y, x = axes
    square = (
        (z - np.float32(centre[2]))[:, None, None] ** 2
        + (y - np.float32(centre[1]))[None, :, None] ** 2
        + (x - np.float32(centre[0]))[None, None, :] ** 2
    )
    return np.sqrt(square) - np.float32(radius)


_PAINTERS = {0: _paint_solid, 1: _paint_hypervascular, 2: _paint_cystic}
