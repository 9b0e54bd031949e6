"""Score how a variational branch restores the patch.

Shapes: B samples, C channels, D H W slices, rows, columns, F latent features.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from engine.training.batch import Batch


class Reconstruction(Protocol):
    """What the variational branch says: the restored patch and the latent distribution."""

    @property
    def image_BCDHW(self) -> Tensor:
        """The patch as restored."""
        ...

    @property
    def mean_BF(self) -> Tensor:
        """Mean of the latent features."""
        ...

    @property
    def sd_BF(self) -> Tensor:
        """Standard deviation of the latent features."""
        ...


def vae_loss(restored: Reconstruction, batch: Batch, *, kl: float = 0.2, l2: float = 0.3) -> Tensor:
    """Return the weighted sum of the divergence from a normal prior and the voxels' squared error.

    Wang et al., 2020, for the weights; the divergence is a mean over features, as in MONAI's
    SegResNetVAE.

    Args:
        restored: By the branch in training mode.
        batch: With the patch as the network saw it.
        kl: Weight of the divergence.
        l2: Weight of the mean squared error.
    """
    mean, variance = restored.mean_BF.float(), restored.sd_BF.float().square()
    divergence = 0.5 * (mean.square() + variance - (1e-8 + variance).log() - 1).mean()
    return kl * divergence + l2 * F.mse_loss(restored.image_BCDHW.float(), batch.image_BCDHW)
