"""A patch-level subtype head behind the segmentation.

Shapes: B samples, K classes, S subtypes, D H W slices, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.system import System

_NUM_GROUPS = 4  # ours: divides the channels of small networks too


class DenseNetHead(nn.Module):
    """A DenseNet that tells the subtype from what the segmentation says (MTMed3D).

    Huang et al., Densely Connected Convolutional Networks, 2017, in three dimensions; the layers
    are MONAI's, and the settings those of DenseNet-121.

    Args:
        system: Whose structures and subtypes count.
        trunk: Not used: it looks at the segmentation alone.
        sees: "logits" of the segmentation, as in MTMed3D, or "probabilities_and_image".
        norm: "batch", as in DenseNet, or "group", which does not mix samples and needs no more
            than one of them.
        blocks: Layers of every dense block.
        growth: Channels that every layer adds.
        init_features: Channels of the first convolution.
        image_channels: Of the image.

    Raises:
        ValueError: If `sees` or `norm` is none of these.
    """

    needs_logits = True

    def __init__(
        self,
        system: System,
        trunk: Any,
        *,
        sees: str = "probabilities_and_image",
        norm: str = "group",
        blocks: Sequence[int] = (6, 12, 24, 16),
        growth: int = 32,
        init_features: int = 64,
        image_channels: int = 1,
    ) -> None:
        super().__init__()
        from monai.networks.nets.densenet import DenseNet

        norms = {"batch": "batch", "group": ("group", {"num_groups": _NUM_GROUPS})}
        channels = {"logits": 0, "probabilities_and_image": image_channels}
        if sees not in channels or norm not in norms:
            raise ValueError(f"sees must be one of {[*channels]}, and norm of {[*norms]}")
        self.sees = sees
        self.densenet = DenseNet(
            spatial_dims=3,
            in_channels=len(system.structures) + 1 + channels[sees],
            out_channels=len(system.subtypes),
            init_features=init_features,
            growth_rate=growth,
            block_config=tuple(blocks),
            norm=norms[norm],
        )

    def forward(
        self, image_BCDHW: Tensor, stages: tuple[Tensor, ...], logits: tuple[Tensor, ...]
    ) -> Tensor:
        """Return subtype logits (B, S)."""
        if self.sees == "logits":
            return self.densenet(logits[0])
        return self.densenet(torch.cat([logits[0].softmax(1), image_BCDHW], dim=1))
