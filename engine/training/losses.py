"""What every head is scored by, by name.

A loss is called with the output of its head, the batch and the settings of its part. It is the
mean over the samples of the batch, so that a batch may be split over parts and processes.

Shapes: B samples, K classes, D H W slices, rows, columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.registry import Registry
from engine.training.batch import Batch
from engine.training.class_loss import focal_ce, weighted_ce
from engine.training.detection_loss import retinanet
from engine.training.marginal import merge_unlabelled
from engine.training.vae_loss import vae_loss

Loss = Callable[..., Tensor]
LOSSES: Registry[Loss] = Registry("loss")
LOSSES.add("weighted_ce", weighted_ce)
LOSSES.add("focal_ce", focal_ce)
LOSSES.add("vae", vae_loss)
LOSSES.add("retinanet", retinanet)

_SMOOTH = 1e-5


@LOSSES.register("dice_ce")
def supervised_dice_ce(logits: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Return Dice plus cross-entropy at every resolution; unlabelled structures are merged.

    Args:
        logits: (B, K, D, H, W) each, finest first.
        batch: With labels at the finest resolution.
    """

    def scored(logits_BKDHW: Tensor, labels_BDHW: Tensor) -> Tensor:
        return dice_ce(logits_BKDHW, labels_BDHW, batch.annotated_BK)

    return deeply_supervised(scored, logits, batch.labels_BDHW)


@LOSSES.register("dice_focal_sigmoid")
def dice_focal_sigmoid(logits: tuple[Tensor, ...], batch: Batch, *, gamma: float = 2.8) -> Tensor:
    """Return Dice with squared sizes plus focal loss, both on the sigmoid of every class.

    As MTMed3D combines MONAI's DiceLoss and FocalLoss. A class that a sample lacks costs 1 in the
    Dice term, but has no gradient there. Classes that are not annotated are left out.

    Args:
        logits: (B, K, D, H, W) each; only the finest is scored.
        batch: With labels at its resolution.
        gamma: How much well-classified voxels are discounted.
    """
    finest = logits[0].float()
    truth = _truth(batch.labels_BDHW, finest.shape[1]).float()
    axes = (2, 3, 4)
    probabilities = finest.sigmoid()
    overlap = (probabilities * truth).sum(axes)
    size = (probabilities.square() + truth).sum(axes)
    dice = 1 - 2 * overlap / (size + 1e-6)
    entropy = F.binary_cross_entropy_with_logits(finest, truth, reduction="none")
    miss = (truth - probabilities).abs()
    focal = (miss.pow(gamma) * entropy).mean(axes)
    scored = F.pad(batch.annotated_BK, (1, 0), value=True).float()
    return (((dice + focal) * scored).sum(1) / scored.sum(1)).mean()


def dice_ce(
    logits_BKDHW: Tensor, labels_BDHW: Tensor, annotated_BK: Tensor | None = None
) -> Tensor:
    """Return soft Dice plus cross-entropy, equally weighted, as a mean over samples.

    A class that a sample does not hold has no Dice term there, since its gradient would punish
    every voxel of that class; the cross-entropy still sees it. Isensee et al., 2021, with Dice
    by sample.

    Args:
        logits_BKDHW: Computed with in float32.
        labels_BDHW: int64.
        annotated_BK: bool, by structure, i.e. K - 1 columns; None where everything is annotated.
    """
    logits = logits_BKDHW.float()
    if annotated_BK is None or bool(annotated_BK.all()):
        return _dice_ce_by_sample(logits, labels_BDHW).mean()
    samples: list[Tensor] = []
    for logits_KDHW, labels_DHW, annotated in zip(
        logits, labels_BDHW, annotated_BK.tolist(), strict=True
    ):
        merged, labels = merge_unlabelled(logits_KDHW, labels_DHW, annotated)
        samples.append(_dice_ce_by_sample(merged[None], labels[None]))
    return torch.cat(samples).mean()


def deeply_supervised(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: tuple[Tensor, ...], labels_BDHW: Tensor
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
        result = result + share / total * loss(logits, _resized(labels_BDHW, logits.shape[2:]))
    return result


def _dice_ce_by_sample(logits_BKDHW: Tensor, labels_BDHW: Tensor) -> Tensor:
    truth = _truth(labels_BDHW, logits_BKDHW.shape[1])
    log_probabilities = logits_BKDHW.log_softmax(1)
    probabilities = log_probabilities.exp()
    axes = (2, 3, 4)
    overlap = (probabilities * truth).sum(axes)[:, 1:]
    count = truth.sum(axes)[:, 1:]
    size = probabilities.sum(axes)[:, 1:] + count
    dice_loss = 1 - (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    present = (count > 0).float()
    dice_B = (dice_loss * present).sum(1) / present.sum(1).clamp_min(1)
    entropy_B = F.nll_loss(log_probabilities, labels_BDHW, reduction="none").mean((1, 2, 3))
    return dice_B + entropy_B


def _truth(labels_BDHW: Tensor, num_classes: int) -> Tensor:
    classes = torch.arange(num_classes, device=labels_BDHW.device)
    return labels_BDHW[:, None] == classes[:, None, None, None]


def _resized(labels_BDHW: Tensor, size: torch.Size) -> Tensor:
    if labels_BDHW.shape[1:] == size:
        return labels_BDHW
    return F.interpolate(labels_BDHW[:, None].float(), size=list(size), mode="nearest")[:, 0].long()
