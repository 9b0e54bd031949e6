"""Signed distances of the shapes organs are made of, negative inside, in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from engine.data.phantom.canvas import Array, Box, Canvas, Coordinates


def ellipsoid(where: Coordinates, centre: ArrayLike, radii: ArrayLike) -> Array:
    """Distance to an ellipsoid; exact on the surface, close to it nearby."""
    return ellipsoid_from_offsets(_offsets(where, centre), radii)


def ellipsoid_from_offsets(offsets: tuple[Array, Array, Array], radii: ArrayLike) -> Array:
    """Distance to an ellipsoid round the origin of the (x, y, z) `offsets`."""
    scaled = np.float32(0.0)
    slope = np.float32(1e-9)
    for offset, radius in zip(offsets, np.asarray(radii, dtype=np.float32), strict=True):
        scaled = scaled + (offset / radius) ** 2
        slope = slope + (offset / radius**2) ** 2
    length = np.sqrt(scaled)
    return length * (length - 1.0) / np.sqrt(slope)


def smooth_union(first: Array, second: Array, blend_mm: float) -> Array:
    """Join two shapes with a fillet of about `blend_mm`."""
    share = np.clip(0.5 + 0.5 * (second - first) / np.float32(blend_mm), 0.0, 1.0)
    return second + share * (first - second) - np.float32(blend_mm) * share * (1.0 - share)


def curve(points_mm: ArrayLike, num: int) -> NDArray[np.float64]:
    """Lay a smooth curve through (n, 3) points and sample `num` points along it."""
    points = np.asarray(points_mm, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    along = CubicSpline(chord, points, bc_type="natural")
    return along(np.linspace(0.0, chord[-1], num))


@dataclass(frozen=True, slots=True)
class Tube:
    """The neighbourhood of a curve.

    Args:
        box: Where the arrays lie on the canvas.
        distance: Signed distance to the tube's surface, in mm.
        along: 0 at the curve's first point to 1 at its last, of the nearest point.
    """

    box: Box
    distance: Array
    along: Array


def tube(
    canvas: Canvas,
    points_mm: NDArray[np.floating],
    radii_mm: ArrayLike,
    *,
    reach_mm: float = 4.0,
    height: float = 1.0,
) -> Tube | None:
    """Thicken a curve given in the grid's own space; None where it lies outside the canvas.

    Args:
        canvas: Gives the grid.
        points_mm: (n, 3) points (x, y, z), closer together than the radius.
        radii_mm: One radius, or one for each point.
        reach_mm: How far outside the surface the distance is right; beyond, it is large.
        height: How much taller (z) than wide the cross-section is.
    """
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float32), (len(points_mm),))
    reach = float(radii.max()) + reach_mm
    margin = np.array([reach, reach, reach * height])
    box = canvas.box_around(points_mm.min(axis=0) - margin, points_mm.max(axis=0) + margin)
    z, y, x = canvas.axes(box)
    if min(len(z), len(y), len(x)) == 0:
        return None
    distance = np.full((len(z), len(y), len(x)), 99.0, dtype=np.float32)
    along = np.zeros_like(distance)
    for i, (point, radius) in enumerate(zip(points_mm, radii, strict=True)):
        near = np.array([radius + reach_mm] * 2 + [(radius + reach_mm) * height])
        spans = [
            slice(*np.searchsorted(axis, (point[k] - near[k], point[k] + near[k])))
            for k, axis in ((2, z), (1, y), (0, x))
        ]
        part = (spans[0], spans[1], spans[2])
        gap = _gap(z[part[0]], y[part[1]], x[part[2]], point, height) - radius
        nearer = gap < distance[part]
        distance[part] = np.where(nearer, gap, distance[part])
        along[part] = np.where(nearer, np.float32(i / max(len(points_mm) - 1, 1)), along[part])
    return Tube(box=box, distance=distance, along=along)


def _gap(z: Array, y: Array, x: Array, point: NDArray[np.floating], height: float) -> Array:
    square_z = ((z - np.float32(point[2])) / np.float32(height)) ** 2
    square_y = (y - np.float32(point[1])) ** 2
    square_x = (x - np.float32(point[0])) ** 2
    return np.sqrt(square_z[:, None, None] + (square_y[:, None] + square_x[None, :])[None])


def _offsets(where: Coordinates, centre: ArrayLike) -> tuple[Array, Array, Array]:
    x, y, z = np.asarray(centre, dtype=np.float32)
    return where.x - x, where.y - y, where.z - z
