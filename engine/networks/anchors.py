"""The boxes a detector starts from: a few shapes at every position of every pyramid level.

Boxes are those of `engine.networks.boxes`. Shapes: N anchors, P positions, A shapes at a position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.networks.boxes import sizes

Triple = tuple[int, int, int]
Shapes = tuple[tuple[float, float, float], ...]


def grid_anchors(
    level_shapes: tuple[Triple, ...],
    level_strides: tuple[Triple, ...],
    shapes: Shapes,
    scales: tuple[float, ...],
    device: torch.device,
) -> Tensor:
    """Return every anchor, (N, 6) float32: by level, then by position, then by shape.

    Anchors are centred on the block of voxels that a position of the level stands for.

    Args:
        level_shapes: (slices, rows, columns) of every level's feature map.
        level_strides: Voxels of the input that one position spans, for every level.
        shapes: Edge lengths along (slice, row, column) at scale 1, in voxels.
        scales: By which the shapes grow, for every level.
        device: Where the anchors shall lie.
    """
    levels = zip(level_shapes, level_strides, scales, strict=True)
    # Made anew for every patch: kept anchors would carry the mode of a dry run into the training.
    return torch.cat([_level(*level, shapes, device) for level in levels])


def _level(
    grid: Triple, stride: Triple, scale: float, shapes: Shapes, device: torch.device
) -> Tensor:
    axes = [
        (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * step
        for size, step in zip(grid, stride, strict=True)
    ]
    centres_P3 = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)
    halves_A3 = torch.tensor(shapes, device=device, dtype=torch.float32) * scale / 2
    lower = centres_P3[:, None] - halves_A3
    upper = centres_P3[:, None] + halves_A3
    return torch.cat([lower, upper], dim=-1).flatten(0, 1)


def fit_anchors(
    boxes_N6: Tensor, num_shapes: int, scales: Sequence[float] = (1.0,), *, iterations: int = 50
) -> Shapes:
    """Return the anchor shapes that overlap `boxes_N6` best: k-means under overlap.

    Every box counts for the shape and scale that overlap it most when both share a centre, as in
    Redmon and Farhadi, YOLO9000, 2017. The shapes start at evenly spread volumes of the boxes, so
    the answer does not depend on chance.

    Args:
        boxes_N6: Lesions of the training cases, in voxels of the preparation.
        num_shapes: How many shapes to return.
        scales: Of the pyramid's levels.
        iterations: At most so many.

    Returns:
        Edge lengths at scale 1 along (slice, row, column), in voxels, smallest first.

    Raises:
        ValueError: If there are fewer boxes than shapes.
    """
    edges_N3 = sizes(boxes_N6.double())
    if len(edges_N3) < num_shapes:
        raise ValueError(f"{num_shapes} shapes need as many boxes, got {len(edges_N3)}")
    factors = torch.tensor(scales, dtype=torch.float64)
    ordered = edges_N3[edges_N3.prod(1).argsort(stable=True)]
    quantiles = (torch.arange(num_shapes) + 0.5) / num_shapes * len(ordered)
    # Which scale the boxes are meant for is not known before, and the search does not cross over.
    starts = [ordered[quantiles.long()] / factor for factor in factors]
    found = [_settled(edges_N3, start, factors, iterations) for start in starts]
    best = max(found, key=lambda shapes: _fit(edges_N3, shapes, factors))
    best = best[best.prod(1).argsort(stable=True)]
    return tuple((float(s), float(r), float(c)) for s, r, c in best.round(decimals=2))


def centred_overlap(edges_N3: Tensor, shapes_A3: Tensor) -> Tensor:
    """Return the intersection over union of boxes that share a centre, (N, A)."""
    shared = torch.minimum(edges_N3[:, None], shapes_A3[None]).prod(-1)
    return shared / (edges_N3.prod(-1)[:, None] + shapes_A3.prod(-1)[None] - shared)


def _at_scales(shapes_A3: Tensor, factors: Tensor) -> Tensor:
    return (shapes_A3[:, None] * factors[:, None]).flatten(0, 1)


def _fit(edges_N3: Tensor, shapes_A3: Tensor, factors: Tensor) -> float:
    return float(centred_overlap(edges_N3, _at_scales(shapes_A3, factors)).amax(1).mean())


def _settled(edges_N3: Tensor, shapes_A3: Tensor, factors: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        moved = _medians(edges_N3, shapes_A3, factors)
        if torch.equal(moved, shapes_A3):
            break
        shapes_A3 = moved
    return shapes_A3


def _medians(edges_N3: Tensor, shapes_A3: Tensor, factors: Tensor) -> Tensor:
    """Return the median of the boxes nearest to each shape; a shape without boxes stays."""
    best = centred_overlap(edges_N3, _at_scales(shapes_A3, factors)).argmax(1)
    shape = best // len(factors)
    at_scale_one = edges_N3 / factors[best % len(factors)][:, None]
    return torch.stack(
        [
            at_scale_one[shape == index].median(0).values if bool((shape == index).any()) else old
            for index, old in enumerate(shapes_A3)
        ]
    )
