"""Arithmetic on boxes in a grid of voxels.

A box is lower then upper (slice, row, column), in voxels, outer faces included: the first voxel
alone is (0, 0, 0, 1, 1, 1). Shapes: N, M boxes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LARGEST_GROWTH = math.log(1000 / 16)  # keeps an untrained network's boxes finite (Detectron)


def centres(boxes_N6: Tensor) -> Tensor:
    """Return the centres of boxes, (N, 3)."""
    return (boxes_N6[..., :3] + boxes_N6[..., 3:]) / 2


def sizes(boxes_N6: Tensor) -> Tensor:
    """Return the edge lengths of boxes, (N, 3); 0 where upper is below lower."""
    return (boxes_N6[..., 3:] - boxes_N6[..., :3]).clamp_min(0)


def iou(first_N6: Tensor, second_M6: Tensor) -> Tensor:
    """Return the intersection over union of every pair, (N, M); 0 for two boxes without volume."""
    lower = torch.maximum(first_N6[:, None, :3], second_M6[None, :, :3])
    upper = torch.minimum(first_N6[:, None, 3:], second_M6[None, :, 3:])
    shared = (upper - lower).clamp_min(0).prod(-1)
    volume_N, volume_M = sizes(first_N6).prod(-1), sizes(second_M6).prod(-1)
    union = volume_N[:, None] + volume_M[None] - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)


def encode(boxes_N6: Tensor, anchors_N6: Tensor) -> Tensor:
    """Return how each box differs from its anchor, (N, 6).

    Shift of the centre in anchor sizes, then the logarithm of the growth, each along (slice, row,
    column). Ren et al., Faster R-CNN, 2015, with all weights 1.
    """
    scale = sizes(anchors_N6)
    shift = (centres(boxes_N6) - centres(anchors_N6)) / scale
    return torch.cat([shift, (sizes(boxes_N6) / scale).log()], dim=-1)


def decode(deltas_N6: Tensor, anchors_N6: Tensor) -> Tensor:
    """Return the boxes that `encode` would describe as `deltas_N6` against `anchors_N6`.

    Both may have leading axes that broadcast. A box grows to at most 62.5 times its anchor.
    """
    scale = sizes(anchors_N6)
    centre = centres(anchors_N6) + deltas_N6[..., :3] * scale
    half = deltas_N6[..., 3:].clamp_max(_LARGEST_GROWTH).exp() * scale / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def clip(boxes_N6: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return boxes cut at the faces of a grid of `shape`."""
    upper = boxes_N6.new_tensor((*shape, *shape))
    return torch.minimum(boxes_N6.clamp_min(0), upper)


def suppress(
    boxes_N6: Tensor, probabilities_N: Tensor, *, overlap: float, max_boxes: int
) -> Tensor:
    """Return which boxes no surer box overlaps, most probable first (non-maximum suppression).

    Of equally probable boxes the earlier one wins, so the answer is always the same.

    Args:
        boxes_N6: Boxes.
        probabilities_N: How sure each is.
        overlap: Intersection over union above which the less probable box goes.
        max_boxes: At most so many are returned.

    Returns:
        (n,) int64 indices into `boxes_N6`.
    """
    order = torch.argsort(probabilities_N, descending=True, stable=True)
    kept: list[Tensor] = []
    while len(order) and len(kept) < max_boxes:
        first, order = order[0], order[1:]
        kept.append(first)
        order = order[iou(boxes_N6[first][None], boxes_N6[order])[0] <= overlap]
    return torch.stack(kept) if kept else order
