"""Tell which anchors are responsible for which lesion.

Boxes are those of `engine.networks.boxes`. Shapes: N anchors, M lesions, P positions, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.networks.boxes import centres, iou

BACKGROUND = -1


def match_anchors(
    boxes_M6: Tensor,
    anchors_N6: Tensor,
    level_sizes: Sequence[int],
    num_shapes: int,
    *,
    num_positions: int = 4,
) -> Tensor:
    """Return for every anchor the lesion it shall find, (N,) int64, or `BACKGROUND`.

    On each level the positions nearest to a lesion's centre are its candidates; those count that
    overlap it by at least the mean plus the standard deviation of all its candidates. Zhang et al.,
    Adaptive Training Sample Selection (ATSS), 2020. An anchor claimed twice goes to the lesion it
    overlaps most, and a lesion's best candidate always counts.

    Args:
        boxes_M6: Lesions; may be none.
        anchors_N6: By level, then by position, then by shape.
        level_sizes: Number of anchors of each level.
        num_shapes: Anchors that share a position.
        num_positions: Nearest positions taken from each level.
    """
    nobody = anchors_N6.new_full((len(anchors_N6),), BACKGROUND, dtype=torch.int64)
    if len(boxes_M6) == 0:
        return nobody
    candidates_MC = _candidates(boxes_M6, anchors_N6, level_sizes, num_shapes, num_positions)
    overlaps_MC = torch.stack(
        [
            iou(box[None], anchors_N6[row])[0]
            for box, row in zip(boxes_M6, candidates_MC, strict=True)
        ]
    )
    spread = overlaps_MC.std(1) if overlaps_MC.shape[1] > 1 else overlaps_MC.new_zeros(1)
    threshold_M = overlaps_MC.mean(1) + spread
    # Where half of the candidates fit perfectly, mean plus spread lies above every overlap.
    counts_MC = overlaps_MC >= torch.minimum(threshold_M, overlaps_MC.amax(1))[:, None]
    claims_MN = anchors_N6.new_full((len(boxes_M6), len(anchors_N6)), -1.0)
    claims_MN.scatter_(1, candidates_MC, torch.where(counts_MC, overlaps_MC, -1.0))
    best_N, lesion_N = claims_MN.max(0)
    return torch.where(best_N >= 0, lesion_N, nobody)


def _candidates(
    boxes_M6: Tensor,
    anchors_N6: Tensor,
    level_sizes: Sequence[int],
    num_shapes: int,
    num_positions: int,
) -> Tensor:
    """Return the anchors at the positions nearest to each lesion, of all levels, (M, C)."""
    shapes = torch.arange(num_shapes, device=anchors_N6.device)
    found: list[Tensor] = []
    start = 0
    for size in level_sizes:
        positions_P3 = centres(anchors_N6[start : start + size : num_shapes])
        distance_MP = torch.cdist(centres(boxes_M6), positions_P3)
        count = min(num_positions * num_shapes, size) // num_shapes
        nearest = distance_MP.topk(count, dim=1, largest=False).indices
        found.append((start + nearest[..., None] * num_shapes + shapes).flatten(1))
        start += size
    return torch.cat(found, dim=1)
