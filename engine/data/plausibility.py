"""Say when a volume does not look like an axial CT in Hounsfield units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Geometry
from engine.volume import Remark

# Ours: beyond this the organs' order along the axes, which the network learned, is lost.
MAX_OBLIQUE_DEG = 20.0
# Ours: thicker slices hold too little of the pancreas for any measurement.
MAX_SPACING_MM = 10.0
_NOTICEABLE_DEG = 1.0
_RIGHT_ANGLE_TOLERANCE_DEG = 0.5


def geometry_remarks(geometry: Geometry) -> tuple[Remark, ...]:
    """Remark on oblique or skewed axes, on thick slices and on a single slice."""
    remarks: list[Remark] = []
    oblique = _oblique_deg(geometry)
    if round(oblique, 1) > MAX_OBLIQUE_DEG:
        message = f"The slices are oblique by {oblique:.0f}°; up to {MAX_OBLIQUE_DEG:.0f}° is safe."
        remarks.append(Remark(message, blocks_analysis=True))
    elif oblique > _NOTICEABLE_DEG:
        remarks.append(Remark(f"The slices are oblique by {oblique:.0f}°."))
    skew = _skew_deg(geometry)
    if skew > _RIGHT_ANGLE_TOLERANCE_DEG:
        message = f"The axes of the volume deviate by {skew:.0f}° from right angles."
        remarks.append(Remark(message, blocks_analysis=True))
    if max(geometry.spacing_mm) > MAX_SPACING_MM:
        message = f"The slices are {max(geometry.spacing_mm):.0f} mm apart, too far for analysis."
        remarks.append(Remark(message, blocks_analysis=True))
    return tuple(remarks)


def density_remarks(voxels: NDArray[np.generic]) -> tuple[Remark, ...]:
    """Remark on values that cannot be Hounsfield units of an abdomen."""
    lowest, highest = float(voxels.min()), float(voxels.max())
    # Air and fat lie below zero, and soft tissue and bone span hundreds of units.
    if lowest < 0 and highest - lowest > 100:
        return ()
    message = f"The values, {lowest:g} to {highest:g}, do not look like Hounsfield units."
    return (Remark(message, blocks_analysis=True),)


def _oblique_deg(geometry: Geometry) -> float:
    direction = geometry.direction
    cosines = [abs(direction[axis, i]) for i, (axis, _) in enumerate(geometry.patient_axes())]
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1))))


def _skew_deg(geometry: Geometry) -> float:
    direction = geometry.direction
    cosines = np.abs(direction.T @ direction - np.eye(3))
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))
