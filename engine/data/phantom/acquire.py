"""From the analytic grid to a CT: slices, pixels, kernel and noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from engine.data.phantom.canvas import Array, Canvas, SmoothField
from engine.data.phantom.spec import PhantomSpec
from engine.geometry import Geometry, from_spacing

_BLUR_MM = {"soft": 0.9, "standard": 0.55, "sharp": 0.0}
# ours: (finest, coarsest) correlation of the noise, in mm; soft kernels make blotches.
_GRAIN_MM = {"soft": (1.25, 3.2), "standard": (0.85, 2.4), "sharp": (0.5, 1.3)}


def geometry_of(spec: PhantomSpec, z_range_mm: tuple[float, float]) -> Geometry:
    """Lay the axial grid of a spec: centred in plane, upwards from the lowest slice."""
    num_slices = int((z_range_mm[1] - z_range_mm[0]) / spec.slice_thickness_mm)
    half_mm = (spec.matrix - 1) * spec.pixel_mm / 2.0
    return from_spacing(
        (num_slices, spec.matrix, spec.matrix),
        (spec.slice_thickness_mm, spec.pixel_mm, spec.pixel_mm),
        (-half_mm, -half_mm, z_range_mm[0] + spec.slice_thickness_mm / 2.0),
    )


def sample_axes(geometry: Geometry) -> tuple[Array, Array, Array]:
    """Return the (z, y, x) positions of the planes of an axial grid, in mm."""
    x, y, z = geometry.affine[:3, 3]
    step_z, step_y, step_x = geometry.spacing_mm
    depth, height, width = geometry.shape
    return (
        (z + step_z * np.arange(depth)).astype(np.float32),
        (y + step_y * np.arange(height)).astype(np.float32),
        (x + step_x * np.arange(width)).astype(np.float32),
    )


def resample(
    values: Array, from_axes: tuple[Array, ...], geometry: Geometry, outside: float
) -> Array:
    """Average the analytic grid over the voxels of an axial grid, thick slices included."""
    result = values - np.float32(outside)
    for axis, (source, target) in enumerate(zip(from_axes, sample_axes(geometry), strict=True)):
        weights = _box_weights(source, target, geometry.spacing_mm[axis])
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result) + np.float32(outside)


def acquire(canvas: Canvas, spec: PhantomSpec, geometry: Geometry) -> np.ndarray:
    """Image the painted patient.

    Returns:
        (slices, rows, columns) HU, int16.
    """
    rng = np.random.default_rng([spec.seed, 3])
    hu = resample(canvas.hu, (canvas.z, canvas.y, canvas.x), geometry, -1000.0)
    blur = _BLUR_MM[spec.kernel] / spec.pixel_mm
    if blur > 0.0:
        hu = gaussian_filter(hu, (0.0, blur, blur), truncate=3.0)
    hu += _noise(rng, spec, geometry)
    hu += SmoothField(rng, sample_axes(geometry), 120.0).on_grid(sample_axes(geometry)) * 1.5
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def _noise(rng: np.random.Generator, spec: PhantomSpec, geometry: Geometry) -> Array:
    white = rng.standard_normal(geometry.shape, dtype=np.float32)
    fine, coarse = (max(mm / spec.pixel_mm, 0.3) for mm in _GRAIN_MM[spec.kernel])
    noise = gaussian_filter(white, (0.35, fine, fine), truncate=3.0)
    noise -= 0.8 * gaussian_filter(white, (0.35, coarse, coarse), truncate=3.0)
    noise *= np.float32(spec.noise_hu / float(noise[:: max(len(noise) // 8, 1)].std()))
    # Rays through the middle of the body are the most weakened.
    _, y, x = sample_axes(geometry)
    radius = np.sqrt((y[:, None] / 130.0) ** 2 + (x[None, :] / 180.0) ** 2)
    return noise * np.clip(1.15 - 0.45 * radius, 0.45, None).astype(np.float32)


def _box_weights(source: Array, target: Array, width_mm: float) -> Array:
    """Weights of linear interpolation averaged over a box of the target's width."""
    step = float(source[1] - source[0])
    num = max(int(np.ceil(2.0 * width_mm / step)), 1)
    offsets = ((np.arange(num) + 0.5) / num - 0.5) * width_mm
    weights = np.zeros((len(target), len(source)), dtype=np.float32)
    for offset in offsets:
        gap = np.abs(target[:, None] + offset - source[None, :]) / step
        weights += np.clip(1.0 - gap, 0.0, None) / num
    return weights
