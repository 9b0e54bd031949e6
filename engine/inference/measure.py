"""Measure what was segmented or boxed: lesions with place, size, density and probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from engine.components import Component, find_components
from engine.evaluation.detection import HIT_IOU, iou
from engine.finding import Box, Finding
from engine.geometry import Geometry
from engine.inference.restore import Probabilities
from engine.volume import LabelMap, Volume

# ours: the surest tenth of a lesion's voxels says whether it is one; its rim is unsure always.
_SUREST_SHARE = 0.1


def find_lesions(
    labels: LabelMap,
    probabilities: Probabilities,
    volume: Volume,
    *,
    min_lesion_mm3: float = 0.0,
    structure: str = "lesion",
) -> tuple[Finding, ...]:
    """Return the connected lesions, most probable first, called "lesion-1" and so on.

    Args:
        labels: On the grid of `volume`.
        probabilities: Of the structures, in a box that holds every labelled voxel.
        volume: The scan, for densities.
        min_lesion_mm3: Smaller components are dropped, in mm³.
        structure: Name of the labelled lesion; where the map does not know it, there is none.
    """
    if structure not in labels.names.values():
        return ()
    found = [
        _measure(component, probabilities, volume, structure)
        for component in find_components(labels, structure)
        if component.volume_mm3 >= min_lesion_mm3
    ]
    return _ordered(found, structure)


def with_boxes(
    findings: tuple[Finding, ...],
    boxes: Sequence[tuple[Box, float]],
    volume: Volume,
    *,
    threshold: float,
    structure: str = "lesion",
) -> tuple[Finding, ...]:
    """Combine outlined lesions with detected boxes, most probable first.

    ours: an outlined lesion is as probable as the surer of its outline and the boxes that overlap
    it (IoU of at least 0.1). A mean would put a lesion that was boxed with doubts below one that
    no box confirms. A box that overlaps no outline is a finding of its own from `threshold` on: its
    volume is 0, its axes are the sides of the box and its density is that inside the box.

    Args:
        findings: From `find_lesions`.
        boxes: In the patient, each with its probability.
        volume: The scan, for densities.
        threshold: Least probability of a box without an outline.
        structure: What boxes hold.
    """
    combined = [_confirmed(finding, boxes) for finding in findings]
    combined += [
        _measure_box(box, probability, volume, structure)
        for box, probability in boxes
        if probability >= threshold
        and not any(iou(box, finding.box_mm) >= HIT_IOU for finding in findings)
    ]
    return _ordered(combined, structure)


def diameters_mm(component: Component) -> tuple[float, float]:
    """Return the longest axis in an axial slice and the longest axis perpendicular to it, in mm.

    The slice is the one with the longest axis; the outline runs through the voxels' edges. For a
    coronal or sagittal acquisition the axial slice is the plane across the patient's z axis.
    """
    axes = component.geometry.patient_axes()
    across = next(axis for axis, (patient_axis, _) in enumerate(axes) if patient_axis == 2)
    spacing = np.delete(component.geometry.spacing_mm, across)
    planes = np.moveaxis(component.mask, across, 0)
    return max(_plane_diameters(plane, spacing) for plane in planes if plane.any())


def _ordered(findings: list[Finding], structure: str) -> tuple[Finding, ...]:
    ranked = sorted(findings, key=lambda finding: (-finding.probability, -finding.volume_mm3))
    return tuple(
        replace(finding, finding_id=f"{structure}-{number}")
        for number, finding in enumerate(ranked, start=1)
    )


def _confirmed(finding: Finding, boxes: Sequence[tuple[Box, float]]) -> Finding:
    own = [probability for box, probability in boxes if iou(box, finding.box_mm) >= HIT_IOU]
    return replace(finding, probability=max([finding.probability, *own]))


def _measure_box(box: Box, probability: float, volume: Volume, structure: str) -> Finding:
    lower, upper = np.asarray(box.lower_mm), np.asarray(box.upper_mm)
    width, depth, _ = (upper - lower).tolist()
    x, y, z = ((lower + upper) / 2).tolist()
    densities = volume.voxels_hu[_voxels_in(box, volume.geometry)].astype(np.float64)
    return Finding(
        finding_id="",
        structure=structure,
        probability=min(1.0, max(0.0, probability)),
        centre_mm=(x, y, z),
        box_mm=box,
        volume_mm3=0.0,
        longest_diameter_mm=max(width, depth),
        short_axis_mm=min(width, depth),
        mean_hu=float(densities.mean()),
        sd_hu=float(densities.std()),
    )


def _voxels_in(box: Box, geometry: Geometry) -> tuple[slice, ...]:
    """Return the voxels, at least one, whose centres lie in a box; around an oblique one."""
    ends = np.array([box.lower_mm, box.upper_mm]).T
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = geometry.to_index(corners)
    last = np.array(geometry.shape) - 1
    lower = np.clip(np.ceil(indices.min(axis=0) - 1e-6), 0, last).astype(int)
    upper = np.clip(np.floor(indices.max(axis=0) + 1e-6), lower, last).astype(int)
    return tuple(slice(a, b + 1) for a, b in zip(lower, upper, strict=True))


def _measure(
    component: Component, probabilities: Probabilities, volume: Volume, structure: str
) -> Finding:
    inside = component.slices
    chances = probabilities.within(structure, inside)[component.mask].astype(np.float32)
    densities = volume.voxels_hu[inside][component.mask].astype(np.float64)
    longest_mm, short_mm = diameters_mm(component)
    return Finding(
        finding_id="",
        structure=structure,
        probability=_surest(chances),
        centre_mm=component.centre_mm,
        box_mm=component.box_mm,
        volume_mm3=component.volume_mm3,
        longest_diameter_mm=longest_mm,
        short_axis_mm=short_mm,
        mean_hu=float(densities.mean()),
        sd_hu=float(densities.std()),
    )


def _surest(chances: NDArray[np.float32]) -> float:
    num = max(1, round(len(chances) * _SUREST_SHARE))
    mean = float(np.partition(chances, -num)[-num:].mean())
    return min(1.0, max(0.0, mean))


def _plane_diameters(plane: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[float, float]:
    hull = _outline(plane, spacing)
    apart = hull[:, None] - hull[None, :]
    distances = np.linalg.norm(apart, axis=-1)
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    longest = float(distances[first, second])
    along = (hull[second] - hull[first]) / longest
    turned = (hull - hull[first]) @ np.array([along, (-along[1], along[0])]).T
    return longest, _longest_chord(turned)


def _outline(plane: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of the voxels' edge midpoints, in mm.

    Midpoints, not corners: a disc keeps its diameter, where corners would add a diagonal.
    """
    half = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    points = (np.argwhere(plane)[:, None] + half).reshape(-1, 2) * spacing
    return points[ConvexHull(points).vertices]


def _longest_chord(hull: NDArray[np.float64]) -> float:
    """Return the longest chord of a convex polygon perpendicular to its x axis.

    The chord's length is concave along x, and linear between corners: a corner has the largest.
    """
    order = np.argsort(hull[:, 0])
    ordered = hull[order]
    first, last = ordered[0], ordered[-1]
    base = np.interp(ordered[:, 0], [first[0], last[0]], [first[1], last[1]])
    above, below = ordered[ordered[:, 1] >= base], ordered[ordered[:, 1] <= base]
    upper = np.interp(ordered[:, 0], above[:, 0], above[:, 1])
    lower = np.interp(ordered[:, 0], below[:, 0], below[:, 1])
    return float((upper - lower).max())
