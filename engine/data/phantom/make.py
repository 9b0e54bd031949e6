"""A phantom: a case with exact ground truth, painted and imaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from engine.case import Case, Identity
from engine.data.phantom.acquire import acquire, geometry_of, resample, sample_axes
from engine.data.phantom.canvas import Canvas
from engine.data.phantom.gut import paint_bowel, paint_duodenum
from engine.data.phantom.lesion import draw_site, obstruct_duct, paint_lesion
from engine.data.phantom.organs import paint_organs
from engine.data.phantom.pancreas import draw_gland, paint_pancreas
from engine.data.phantom.scene import Scene
from engine.data.phantom.spec import PhantomSpec
from engine.data.phantom.tissue import STRUCTURES, VALUE_OF, draw_tissues
from engine.data.phantom.trunk import paint_trunk
from engine.data.phantom.vessels import paint_great_vessels, paint_pancreatic_vessels
from engine.geometry import Geometry
from engine.volume import LabelMap, Volume

NAMES = {1: "pancreas", 2: "lesion"}
_GLAND = (VALUE_OF["pancreas"], VALUE_OF["pancreatic_duct"])


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A made case and all that is known about it.

    Args:
        spec: What it was made from.
        case: The CT with its labels: 1 pancreas, 2 lesion.
        all_labels: Every structure; `STRUCTURES` has the names.
        tissues_hu: Mean HU of each tissue before noise.
    """

    spec: PhantomSpec
    case: Case
    all_labels: LabelMap
    tissues_hu: Mapping[str, float]


def make_phantom(spec: PhantomSpec) -> Phantom:
    """Make the phantom of a spec; the same spec gives the same voxels."""
    scene = _paint(spec)
    geometry = geometry_of(spec, (float(scene.canvas.z[0]), float(scene.canvas.z[-1])))
    volume = Volume(voxels_hu=acquire(scene.canvas, spec, geometry), geometry=geometry)
    labels = LabelMap(labels=_labels(scene.canvas, geometry), names=NAMES, geometry=geometry)
    wide = _wide_labels(scene.canvas, labels, geometry)
    case = Case(
        case_id=f"phantom_{spec.seed:06d}",
        volume=volume,
        labels=labels,
        annotated=frozenset(NAMES.values()),
        subtype=spec.subtype,
        phase=spec.phase,
        identity=_identity(spec),
        window=(400.0, 50.0),
    )
    return Phantom(spec=spec, case=case, all_labels=wide, tissues_hu=dict(scene.tissues))


def _paint(spec: PhantomSpec) -> Scene:
    rng = np.random.default_rng([spec.seed, 2])
    # The pancreas lies at z = -55 to 60 mm; keep it inside with room to spare.
    low = float(np.clip(-0.53 * spec.length_mm + rng.uniform(-6, 6), None, -76.0 * spec.stature))
    scale = spec.stature * rng.uniform(0.97, 1.03, 3)
    half = (min(spec.matrix * spec.pixel_mm / 2.0 + 3.0, 225.0), 165.0)
    canvas = Canvas(
        rng,
        half_width_mm=half,
        z_range_mm=(low, low + spec.length_mm),
        scale=(float(scale[0]), float(scale[1]), float(scale[2])),
    )
    scene = Scene(canvas=canvas, spec=spec, tissues=draw_tissues(spec, rng), rng=rng)
    paint_trunk(scene)
    paint_organs(scene)
    paint_great_vessels(scene)
    paint_bowel(scene)
    gland = draw_gland(scene)
    site = draw_site(scene, gland)
    if spec.subtype == 0:
        gland = obstruct_duct(scene, gland, site)
    paint_duodenum(scene)
    paint_pancreas(scene, gland)
    paint_pancreatic_vessels(scene, gland)
    if spec.subtype is not None:
        paint_lesion(scene, site)
    return scene


def _labels(canvas: Canvas, geometry: Geometry) -> NDArray[np.uint8]:
    lesion = canvas.structure == VALUE_OF["lesion"]
    whole = np.isin(canvas.structure, _GLAND) | lesion
    labels = _imaged(whole, canvas, geometry).astype(np.uint8)
    if lesion.any():
        labels[_imaged(lesion, canvas, geometry)] = 2
    return labels


def _imaged(mask: NDArray[np.bool_], canvas: Canvas, geometry: Geometry) -> NDArray[np.bool_]:
    """Carry a mask to the CT's grid: what fills more than half of a voxel."""
    extent = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(
        slice(max(int(where[0]) - 4, 0), int(where[-1]) + 5) if len(where) else slice(0, 2)
        for where in extent
    )
    smooth = gaussian_filter(mask[box].astype(np.float32), 0.6)
    axes = canvas.axes((box[0], box[1], box[2]))
    return resample(smooth, axes, geometry, 0.0) > 0.5


def _wide_labels(canvas: Canvas, labels: LabelMap, geometry: Geometry) -> LabelMap:
    nearest = [
        np.clip(np.rint((target - source[0]) / (source[1] - source[0])), 0, len(source) - 1)
        for source, target in zip(
            (canvas.z, canvas.y, canvas.x), sample_axes(geometry), strict=True
        )
    ]
    wide = canvas.structure[np.ix_(*(index.astype(np.int64) for index in nearest))].copy()
    fat = VALUE_OF["fat"]
    wide[np.isin(wide, [*_GLAND[:1], VALUE_OF["lesion"]]) & (labels.labels == 0)] = fat
    duct = wide == VALUE_OF["pancreatic_duct"]
    wide = np.where((labels.labels > 0) & ~duct, labels.labels, wide).astype(np.uint8)
    return LabelMap(labels=wide, names=STRUCTURES, geometry=geometry)


def _identity(spec: PhantomSpec) -> Identity:
    return Identity(
        patient_name=f"PHANTOM^{spec.seed:06d}",
        patient_id=f"PHANTOM-{spec.seed:06d}",
        birth_date=f"{2026 - int(spec.age):04d}0101",
        sex="O",
        study_date="20260101",
        study_description="Abdomen phantom",
        series_description=f"{spec.phase} {spec.slice_thickness_mm:g} mm {spec.kernel}",
        series_number="1",
        acquisition=f"{spec.slice_thickness_mm:g} mm {spec.kernel}",
    )
