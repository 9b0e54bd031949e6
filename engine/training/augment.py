"""Random changes of a training patch that keep its meaning.

Left and right are not exchanged unless asked: the liver's side is evidence.

All numbers come from a generator on the CPU, so that a patch is the same, but for rounding, on
whatever device it is changed.

Shapes: D H W slices, rows, columns; a patch of one slice is changed within its plane.
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
        flip_axes: Axes (0 slice, 1 row, 2 column) that may be flipped.
        flip_share: Share of patches flipped along each of them.
        rotation_rad: Largest rotation about each axis.
        scaling: Largest relative change of size.
        spatial_share: Share of patches that are rotated and scaled.
        elastic_distance: Between the points that are pushed, in voxels.
        elastic: Largest push of a point along each axis, as a share of that distance.
        elastic_share: Share of patches that are bent so.
        noise: Largest standard deviation of added noise, in normalised units.
        brightness: Largest shift, in normalised units.
        contrast: Largest relative change of contrast.
        gamma: Largest exponent of the grey values, and one over the smallest.
        gamma_share: Share of patches whose grey values are raised to it.
        blur_share: Share of patches that are smoothed or seen at a lower resolution.
    """

    flip_axes: tuple[int, ...] = (0, 1)
    flip_share: float = 0.2
    rotation_rad: float = math.radians(12)
    scaling: float = 0.15
    spatial_share: float = 0.6
    elastic_distance: float = 16.0
    elastic: float = 0.2
    elastic_share: float = 0.3
    noise: float = 0.15
    brightness: float = 0.15
    contrast: float = 0.15
    gamma: float = 1.4
    gamma_share: float = 0.3
    blur_share: float = 0.2


def augment(
    image_DHW: Tensor, labels_DHW: Tensor, recipe: Augmentation, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return a changed copy of one patch and its labels, on the device they are on.

    Args:
        image_DHW: float32, normalised.
        labels_DHW: int64; voxels that come from outside of the patch are background.
        recipe: How strongly.
        generator: The source of randomness, on the CPU.
    """
    flipped = [axis for axis in recipe.flip_axes if _happens(recipe.flip_share, generator)]
    image_DHW, labels_DHW = image_DHW.flip(flipped), labels_DHW.flip(flipped)
    grid = _sampling_grid(image_DHW, recipe, generator)
    if grid is not None:
        image_DHW, labels_DHW = _resample(image_DHW, labels_DHW, grid)
    if _happens(recipe.blur_share, generator):
        image_DHW = _coarsen(image_DHW, _uniform(generator, 0.5, 0.9))
    if _happens(recipe.gamma_share, generator):
        most = math.log(recipe.gamma)
        image_DHW = _raise(image_DHW, math.exp(_uniform(generator, -most, most)))
    gain = 1 + _uniform(generator, -recipe.contrast, recipe.contrast)
    shift = _uniform(generator, -recipe.brightness, recipe.brightness)
    spread = _uniform(generator, 0, recipe.noise)
    noise = torch.randn(image_DHW.shape, generator=generator).to(image_DHW.device)
    return image_DHW * gain + shift + spread * noise, labels_DHW


def _sampling_grid(patch: Tensor, recipe: Augmentation, generator: Generator) -> Tensor | None:
    """Return where every voxel is taken from, (3, D, H, W), column first, or None to stay.

    Positions are in units of the patch, -1 to 1 from face to face, as `grid_sample` has them.
    """
    turns = _happens(recipe.spatial_share, generator)
    bends = _happens(recipe.elastic_share, generator)
    if not (turns or bends):
        return None
    matrix = _affine(patch.shape, recipe, generator) if turns else torch.eye(3)
    # A rotation acts in voxels, the grid is in units of the patch.
    size = torch.tensor(patch.shape[::-1], dtype=torch.float32)
    matrix = (matrix * size[None, :] / size[:, None]).to(patch.device)
    grid = torch.zeros(3, 1, 1, 1, device=patch.device)
    # Sums of lines and planes cost a third of `affine_grid`.
    for axis, length in enumerate(patch.shape):
        centres = (2 * torch.arange(length, device=patch.device) + 1) / length - 1
        line = [-1 if other == axis else 1 for other in range(3)]
        grid = grid + (matrix[:, 2 - axis, None] * centres).view(3, *line)
    if bends:
        grid = grid + _pushes(patch, recipe, generator)
    return grid


def _affine(shape: torch.Size, recipe: Augmentation, generator: Generator) -> Tensor:
    matrix = torch.eye(3)
    # Axis 2 of the matrix turns within the slices; the others would leave a single slice.
    for axis in (2,) if shape[0] == 1 else (0, 1, 2):
        angle = _uniform(generator, -recipe.rotation_rad, recipe.rotation_rad)
        matrix = matrix @ _rotation(axis, angle)
    return matrix * (1 + _uniform(generator, -recipe.scaling, recipe.scaling))


def _pushes(patch: Tensor, recipe: Augmentation, generator: Generator) -> Tensor:
    """Return smooth random displacements, (3, D, H, W), column first, in units of the patch."""
    distance = recipe.elastic_distance
    points = [1 if length == 1 else max(2, round(length / distance) + 1) for length in patch.shape]
    largest = torch.tensor(
        [0.0 if length == 1 else 2 * recipe.elastic * distance / length for length in patch.shape]
    )
    shares = 2 * torch.rand(3, *points, generator=generator) - 1
    pushes = (shares * largest.flip(0)[:, None, None, None]).to(patch.device)
    size = list(patch.shape)
    return F.interpolate(pushes[None], size=size, mode="trilinear", align_corners=True)[0]


def _resample(image_DHW: Tensor, labels_DHW: Tensor, grid_3DHW: Tensor) -> tuple[Tensor, Tensor]:
    grid = grid_3DHW.movedim(0, -1)[None]
    image = F.grid_sample(image_DHW[None, None], grid, padding_mode="border", align_corners=False)
    labels = F.grid_sample(
        labels_DHW[None, None].float(), grid, mode="nearest", align_corners=False
    )
    return image[0, 0], labels[0, 0].long()


def _rotation(axis: int, angle_rad: float) -> Tensor:
    first, second = [other for other in range(3) if other != axis]
    matrix = torch.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle_rad)
    matrix[first, second] = -math.sin(angle_rad)
    matrix[second, first] = math.sin(angle_rad)
    return matrix


def _coarsen(image_DHW: Tensor, factor: float) -> Tensor:
    size = [1 if length == 1 else max(2, round(length * factor)) for length in image_DHW.shape]
    small = F.interpolate(image_DHW[None, None], size=size, mode="trilinear")
    return F.interpolate(small, size=list(image_DHW.shape), mode="trilinear")[0, 0]


def _raise(image_DHW: Tensor, exponent: float) -> Tensor:
    """Raise the grey values, as shares of their range, to a power."""
    low, high = image_DHW.aminmax()
    span = (high - low).clamp_min(1e-6)
    return ((image_DHW - low) / span).pow(exponent) * span + low


def _happens(share: float, generator: Generator) -> bool:
    return _uniform(generator, 0, 1) < share


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
