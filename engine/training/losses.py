"""Segmentation losses.

Shapes: B batch, K classes, D H W slices, rows, columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.registry import Registry

SegmentationLoss = Callable[[Tensor, Tensor], Tensor]
LOSSES: Registry[SegmentationLoss] = Registry("loss")

_SMOOTH = 1e-5


@LOSSES.register("dice_ce")
def dice_ce(logits_BKDHW: Tensor, labels_BDHW: Tensor) -> Tensor:
    """Return soft Dice over the batch plus cross-entropy, equally weighted.

    A class that the batch does not hold has no Dice term, since its gradient would punish
    every voxel of that class elsewhere; the cross-entropy still sees it. Isensee et al., 2021.
    """
    logits = logits_BKDHW.float()
    num_classes = logits.shape[1]
    truth = F.one_hot(labels_BDHW, num_classes).movedim(-1, 1).float()
    probabilities = logits.softmax(1)
    axes = (0, 2, 3, 4)
    overlap = (probabilities * truth).sum(axes)[1:]
    size = (probabilities.sum(axes) + truth.sum(axes))[1:]
    present = truth.sum(axes)[1:] > 0
    dice = (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    dice_loss = (1 - dice[present]).mean() if bool(present.any()) else logits.new_zeros(())
    return dice_loss + F.cross_entropy(logits, labels_BDHW)


def deeply_supervised(
    loss: SegmentationLoss, outputs: tuple[Tensor, ...], labels_BDHW: Tensor
) -> Tensor:
    """Return the weighted sum of `loss` over resolutions.

    Weights halve with every level, the coarsest of several has none, and they sum to 1 (nnU-Net).

    Args:
        loss: Takes logits and labels of one resolution.
        outputs: Logits, finest first.
        labels_BDHW: int64 at the finest resolution.
    """
    shares = [0.5**level for level in range(max(1, len(outputs) - 1))]
    total = sum(shares)
    result = outputs[0].new_zeros((), dtype=torch.float32)
    for share, logits in zip(shares, outputs, strict=False):
        size = list(logits.shape[2:])
        sized = F.interpolate(labels_BDHW[:, None].float(), size=size, mode="nearest")
        result = result + share / total * loss(logits, sized[:, 0].long())
    return result
