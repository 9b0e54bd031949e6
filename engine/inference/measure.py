"""Measure what was segmented: lesions with place, size, density and probability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from engine.components import Component, find_components
from engine.finding import Finding
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
        structure: Name of the labelled lesion.
    """
    found = [
        _measure(component, probabilities, volume, structure)
        for component in find_components(labels, structure)
        if component.volume_mm3 >= min_lesion_mm3
    ]
    found.sort(key=lambda finding: (-finding.probability, -finding.volume_mm3))
    return tuple(
        replace(finding, finding_id=f"{structure}-{number}")
        for number, finding in enumerate(found, start=1)
    )


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
