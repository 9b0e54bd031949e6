"""The case-level subtype head on frozen encoder features.

Shapes: B batch, C channels, D H W slices, rows, columns, F pooled features, S subtypes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_RING_POOL = 5  # ours: voxels of the first stage around the lesion that count as its border zone


class SubtypeHead(nn.Module):
    """Tells the lesion's subtype from pooled features of the whole case.

    Standardised features go through a linear probe and a small perceptron; the two are
    fused by the geometric mean of their probabilities. The encoder stays frozen, because a
    jointly trained head collapses to one class on few cases.

    Args:
        num_stages: Encoder stages the features are pooled from, finest first; the texture that
            tells subtypes apart is lost in the deeper ones.
        num_features: Length F of the pooled vector.
        num_subtypes: Number of subtypes S.
        hidden: Width of the perceptron.
        dropout: Share of hidden units dropped in training.
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        *,
        num_stages: int,
        num_features: int,
        num_subtypes: int,
        hidden: int = 16,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_stages = num_stages
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("sd", torch.ones(num_features))
        self.probe = nn.Linear(num_features, num_subtypes)
        self.perceptron = nn.Sequential(
            nn.Linear(num_features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_subtypes),
        )

    def standardise(self, features_BF: Tensor) -> Tensor:
        """Scale features to zero mean and unit spread of the training cases, within ±5."""
        return ((features_BF - self.mean) / self.sd).clamp(-5.0, 5.0)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return fused log-probabilities (B, S)."""
        inputs = self.standardise(features_BF)
        fused = self.probe(inputs).log_softmax(1) + self.perceptron(inputs).log_softmax(1)
        return (fused / 2).log_softmax(1)


def pool_case(
    image_BCDHW: Tensor, stages: tuple[Tensor, ...], pancreas_BDHW: Tensor, lesion_BDHW: Tensor
) -> Tensor:
    """Describe a case by its encoder features in the lesion, around it and in the pancreas.

    For the image and every stage: the mean and spread weighted with the lesion probability,
    the mean in a ring around the lesion, and the mean in the pancreas.

    Args:
        image_BCDHW: (B, 1, D, H, W), normalised.
        stages: Encoder outputs, finest first.
        pancreas_BDHW: Probability of healthy pancreas.
        lesion_BDHW: Probability of lesion.

    Returns:
        (B, F) float32.
    """
    lesion = lesion_BDHW[:, None].float()
    ring = F.max_pool3d(lesion, _RING_POOL, stride=1, padding=_RING_POOL // 2) - lesion
    pancreas = pancreas_BDHW[:, None].float()
    parts: list[Tensor] = []
    for values in (image_BCDHW, *stages):
        sized = values.float()
        size = (sized.shape[2], sized.shape[3], sized.shape[4])
        weights = [F.adaptive_avg_pool3d(w, size) for w in (lesion, ring, pancreas)]
        inside = _weighted_mean(sized, weights[0])
        spread = _weighted_mean((sized - inside[:, :, None, None, None]) ** 2, weights[0])
        parts += [inside, (spread + 1e-6).sqrt()]
        parts += [_weighted_mean(sized, weight) for weight in weights[1:]]
    litres = torch.stack([lesion.sum((1, 2, 3, 4)), pancreas.sum((1, 2, 3, 4))], dim=1)
    parts.append((litres + 1.0).log())
    return torch.cat(parts, dim=1)


def num_pooled_features(stage_features: tuple[int, ...]) -> int:
    """Return F of `pool_case` for an encoder with these channels."""
    return 4 * (1 + sum(stage_features)) + 2


def _weighted_mean(values_BCDHW: Tensor, weight_B1DHW: Tensor) -> Tensor:
    total = weight_B1DHW.sum((2, 3, 4)).clamp_min(1e-4)
    return (values_BCDHW * weight_B1DHW).sum((2, 3, 4)) / total
