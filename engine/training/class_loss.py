"""Score the subtype of a patch.

Shapes: B samples, S subtypes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.training.batch import UNKNOWN_SUBTYPE, Batch


def weighted_ce(
    logits_BS: Tensor,
    batch: Batch,
    *,
    weights: Sequence[float] | None = None,
    smoothing: float = 0.05,
) -> Tensor:
    """Return the cross-entropy, each sample weighted by its subtype.

    It is the mean over all samples, and not over the weights: an unknown subtype counts as 0.

    Args:
        logits_BS: Computed with in float32.
        batch: With the subtypes.
        weights: Of every subtype, N / (S n_c) for n_c of N cases; None weighs all alike.
        smoothing: Share of the target that is spread over all subtypes.
    """
    logits, known, subtypes = _known(logits_BS, batch)
    loss_B = F.cross_entropy(logits, subtypes, reduction="none", label_smoothing=smoothing)
    if weights is not None:
        loss_B = loss_B * torch.tensor(weights, device=loss_B.device)[subtypes]
    return (loss_B * known).mean()


def focal_ce(logits_BS: Tensor, batch: Batch, *, gamma: float = 2.0) -> Tensor:
    """Return the focal loss for several classes, (1 - p)^γ of the cross-entropy.

    Lin et al., Focal loss for dense object detection, 2017, without its α, which is for two
    classes. An unknown subtype counts as 0.
    """
    logits, known, subtypes = _known(logits_BS, batch)
    loss_B = F.cross_entropy(logits, subtypes, reduction="none")
    return ((1 - (-loss_B).exp()).clamp_min(1e-6).pow(gamma) * loss_B * known).mean()


def _known(logits_BS: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    known = batch.subtypes_B != UNKNOWN_SUBTYPE
    return logits_BS.float(), known.float(), batch.subtypes_B.clamp_min(0)
