"""Build the network a system describes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from engine.networks.heads import SubtypeHead, num_pooled_features
from engine.networks.resenc import ResEncUNet
from engine.registry import Registry
from engine.system import System

NETWORKS: Registry[Callable[..., ResEncUNet]] = Registry("network")
NETWORKS.add("resenc_unet", ResEncUNet)


class MultitaskNetwork(nn.Module):
    """A shared trunk with the heads of one system.

    Args:
        trunk: Encoder and segmentation decoder.
        subtype: Case-level head on pooled encoder features, where the system has one.
    """

    def __init__(self, trunk: ResEncUNet, subtype: SubtypeHead | None) -> None:
        super().__init__()
        self.trunk = trunk
        self.subtype = subtype

    def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
        """Return {"segmentation": logits (B, K, D, H, W)} at the resolution of the input."""
        return {"segmentation": self.trunk(image_BCDHW)[0]}


def build(system: System) -> MultitaskNetwork:
    """Build the untrained network of `system`.

    Raises:
        UnknownNameError: If the system names a network that is not registered.
    """
    num_classes = len(system.structures) + 1
    trunk = NETWORKS.get(system.network.name)(num_classes=num_classes, **system.network.params)
    return MultitaskNetwork(trunk, subtype_head(system, trunk.stage_features))


def subtype_head(system: System, stage_features: tuple[int, ...]) -> SubtypeHead | None:
    """Build the untrained subtype head of `system`; None where it has none.

    Args:
        system: Describes the head.
        stage_features: Channels of the encoder's stages, finest first.
    """
    for head in system.heads:
        if head.name == "subtype":
            num_stages = int(head.params["num_stages"])
            return SubtypeHead(
                num_features=num_pooled_features(stage_features[:num_stages]),
                num_subtypes=len(system.subtypes),
                **head.params,
            )
    return None
