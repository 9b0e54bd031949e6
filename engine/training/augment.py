"""Random changes of a training patch that keep its meaning.

Left and right are never exchanged: the liver's side is evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly patches are changed; all values are ours.

    Args:
        rotation_rad: Largest rotation about each axis.
        scaling: Largest relative change of size.
        spatial_share: Share of patches that are rotated and scaled.
        noise: Largest standard deviation of added noise, in normalised units.
        brightness: Largest shift, in normalised units.
        contrast: Largest relative change of contrast.
        blur_share: Share of patches that are smoothed or seen at a lower resolution.
    """

    rotation_rad: float = math.radians(12)
    scaling: float = 0.15
    spatial_share: float = 0.6
    noise: float = 0.15
    brightness: float = 0.15
    contrast: float = 0.15
    blur_share: float = 0.2


def augment(
    image_DHW: Tensor, labels_DHW: Tensor, recipe: Augmentation, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return a changed copy of one patch and its labels.

    Args:
        image_DHW: float32, normalised.
        labels_DHW: int64.
        recipe: How strongly.
        generator: The source of randomness.
    """
    if _uniform(generator, 0, 1) < recipe.spatial_share:
        image_DHW, labels_DHW = _deform(image_DHW, labels_DHW, recipe, generator)
    if _uniform(generator, 0, 1) < recipe.blur_share:
        image_DHW = _coarsen(image_DHW, _uniform(generator, 0.5, 0.9))
    gain = 1 + _uniform(generator, -recipe.contrast, recipe.contrast)
    shift = _uniform(generator, -recipe.brightness, recipe.brightness)
    noise = torch.randn(image_DHW.shape, generator=generator)
    spread = _uniform(generator, 0, recipe.noise)
    return image_DHW * gain + shift + spread * noise, labels_DHW


def _deform(
    image_DHW: Tensor, labels_DHW: Tensor, recipe: Augmentation, generator: Generator
) -> tuple[Tensor, Tensor]:
    matrix = torch.eye(3)
    for axis in range(3):
        angle = _uniform(generator, -recipe.rotation_rad, recipe.rotation_rad)
        matrix = matrix @ _rotation(axis, angle)
    matrix = matrix * (1 + _uniform(generator, -recipe.scaling, recipe.scaling))
    # The sampling grid is in units of the patch; a rotation must act in voxels, column first.
    size = torch.tensor(image_DHW.shape[::-1], dtype=torch.float32)
    theta = F.pad(matrix * size[None, :] / size[:, None], (0, 1))[None]
    grid = F.affine_grid(theta, [1, 1, *image_DHW.shape], align_corners=False)
    image = F.grid_sample(image_DHW[None, None], grid, padding_mode="border", align_corners=False)[
        0, 0
    ]
    labels = F.grid_sample(
        labels_DHW[None, None].float(), grid, mode="nearest", align_corners=False
    )[0, 0]
    return image, labels.long()


def _rotation(axis: int, angle_rad: float) -> Tensor:
    first, second = [other for other in range(3) if other != axis]
    matrix = torch.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle_rad)
    matrix[first, second] = -math.sin(angle_rad)
    matrix[second, first] = math.sin(angle_rad)
    return matrix


def _coarsen(image_DHW: Tensor, factor: float) -> Tensor:
    size = [max(2, round(length * factor)) for length in image_DHW.shape]
    small = F.interpolate(image_DHW[None, None], size=size, mode="trilinear")
    return F.interpolate(small, size=list(image_DHW.shape), mode="trilinear")[0, 0]


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
