"""The subtype head that is trained together with the segmentation, as its paper has it.

Shapes: B batch, C channels, F pooled features, S subtypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import IsletError
from engine.system import System

_HIDDEN = (512, 256)
_DROPOUT = (0.3, 0.2, 0.1)

_NORMALISATIONS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class SingleSampleError(IsletError):
    """A head that normalises over the batch was given one sample to learn from."""

    def __init__(self) -> None:
        super().__init__(
            "The subtype head normalises over the batch, and the batch holds a single patch.",
            remedy="Train with at least two patches per device and accumulated part, or choose"
            " the head's norm 'layer'.",
        )


class JointSubtypeHead(nn.Module):
    """Tells the subtype from pooled encoder stages, in the same step as the segmentation.

    Every tapped stage gives its mean and its largest value, each scaled to length 1; a
    perceptron with two hidden layers follows. Batch normalisation, as in the paper, undoes that
    scaling, takes its statistics from two patches and needs at least two; layer normalisation
    is ours, and treats every patch on its own.

    Args:
        system: Tells the number of subtypes S.
        trunk: Whose stages are read.
        taps: Which of its stages, counted from 0, finest first; the paper counts from 1.
        norm: "batch" or "layer".
    """

    needs_logits = False

    def __init__(
        self,
        system: System,
        trunk: Any,
        *,
        taps: Sequence[int] = (3, 4, 5),
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.needs_two = norm == "batch"
        normalise = _NORMALISATIONS[norm]
        num_pooled = 2 * sum(trunk.stage_features[tap] for tap in self.taps)
        self.perceptron = nn.Sequential(
            normalise(num_pooled),
            nn.Dropout(_DROPOUT[0]),
            nn.Linear(num_pooled, _HIDDEN[0]),
            normalise(_HIDDEN[0]),
            nn.ReLU(),
            nn.Dropout(_DROPOUT[1]),
            nn.Linear(_HIDDEN[0], _HIDDEN[1]),
            normalise(_HIDDEN[1]),
            nn.ReLU(),
            nn.Dropout(_DROPOUT[2]),
            nn.Linear(_HIDDEN[1], len(system.subtypes)),
        )

    def forward(
        self, image_BCDHW: Tensor, stages: tuple[Tensor, ...], logits: tuple[Tensor, ...]
    ) -> Tensor:
        """Return logits (B, S).

        Args:
            image_BCDHW: Not looked at.
            stages: Of the trunk, finest first.
            logits: Not looked at.

        Raises:
            SingleSampleError: If it learns with batch normalisation from one sample.
        """
        if self.training and self.needs_two and len(image_BCDHW) < 2:
            raise SingleSampleError
        return self.perceptron(pool_stages(tuple(stages[tap] for tap in self.taps)))


def pool_stages(stages: tuple[Tensor, ...]) -> Tensor:
    """Return the mean and the largest value of every channel, (B, F).

    The means of a stage have length 1 together, and so have its largest values.
    """
    pooled: list[Tensor] = []
    for stage_BCDHW in stages:
        values = stage_BCDHW.flatten(2).float()
        pooled += [F.normalize(values.mean(2)), F.normalize(values.amax(2))]
    return torch.cat(pooled, 1)
