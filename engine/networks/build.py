"""Build the network a system describes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from torch import Tensor, nn

from engine.networks.c2fnas import C2FNAS
from engine.networks.densenet import DenseNetHead
from engine.networks.detection import DetectionHead
from engine.networks.exact_convolution import make_exact
from engine.networks.heads import SubtypeHead, num_pooled_features
from engine.networks.joint_head import JointSubtypeHead
from engine.networks.resenc import PlainUNet, ResEncUNet
from engine.networks.resnet import ResNetEncoder
from engine.networks.swin import SwinEncoder, SwinUNETR
from engine.networks.unet import UNet3d
from engine.networks.vae import VaeHead
from engine.registry import Registry
from engine.system import Part, System

SEGMENTATION = "segmentation"
STAGED_SUBTYPE = "subtype"
"""Fitted on frozen features after the rest, by `engine.training.subtype`; never by a loss."""
JOINT_SUBTYPE = frozenset({"subtype_joint", "densenet"})
"""Heads that tell a patch's subtype and are trained together with the rest."""


class Trunk(Protocol):
    """What every head shares: an encoder, and a segmentation decoder where there is one.

    `stage_features` are the channels of the stages, finest first, and `stage_strides` how many
    voxels of the input one of theirs spans along (slice, row, column).
    """

    stage_features: tuple[int, ...]
    stage_strides: tuple[tuple[int, int, int], ...]

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the output of every stage, finest first, each (B, C, D, H, W)."""
        ...

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return segmentation logits (B, K, D, H, W), finest first; empty without a decoder."""
        ...

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the last layer that every head's gradient passes, for balancing tasks."""
        ...


class Head(Protocol):
    """A jointly trained head beside segmentation."""

    needs_logits: bool

    def __call__(
        self, image_BCDHW: Tensor, stages: tuple[Tensor, ...], logits: tuple[Tensor, ...]
    ) -> Any:
        """Return what the head's loss and inference understand."""
        ...


NETWORKS: Registry[Callable[..., Any]] = Registry("network")
NETWORKS.add("resenc_unet", ResEncUNet)
NETWORKS.add("plain_unet", PlainUNet)
NETWORKS.add("unet", UNet3d)
NETWORKS.add("swin_unetr", SwinUNETR)
NETWORKS.add("swin_encoder", SwinEncoder)
NETWORKS.add("resnet_encoder", ResNetEncoder)
NETWORKS.add("c2fnas", C2FNAS)

HEADS: Registry[Callable[..., Any]] = Registry("head")
"""By name: make a head from (system, trunk, **params); its output is described where it is."""
HEADS.add("detection", DetectionHead)
HEADS.add("densenet", DenseNetHead)
HEADS.add("subtype_joint", JointSubtypeHead)
HEADS.add("vae", VaeHead)


class MultitaskNetwork(nn.Module):
    """A shared trunk with the heads of one system.

    Args:
        trunk: A `Trunk`: encoder and segmentation decoder.
        subtype: Staged case-level head on pooled encoder features, where the system has one.
        heads: Jointly trained heads by name, segmentation left out.
        has_segmentation: Whether segmentation is one of the system's heads.
    """

    def __init__(
        self,
        trunk: Any,
        subtype: SubtypeHead | None,
        heads: dict[str, nn.Module] | None = None,
        *,
        has_segmentation: bool = True,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.subtype = subtype
        self.heads = nn.ModuleDict(heads or {})
        self.has_segmentation = has_segmentation

    def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
        """Return {"segmentation": logits (B, K, D, H, W)} at the resolution of the input."""
        return {SEGMENTATION: self.trunk.decode(self.trunk.encode(image_BCDHW))[0]}

    def outputs(self, image_BCDHW: Tensor, names: Collection[str] | None = None) -> dict[str, Any]:
        """Return what the jointly trained heads say, by their names.

        "segmentation" is the tuple of logits at every resolution, finest first.

        Args:
            image_BCDHW: Patches, normalised.
            names: The heads that are asked, others being skipped; None asks every head.
        """
        stages = self.trunk.encode(image_BCDHW)
        heads = {n: head for n, head in self.heads.items() if names is None or n in names}
        segments = self.has_segmentation and (names is None or SEGMENTATION in names)
        wants_logits = any(head.needs_logits for head in heads.values())
        logits = self.trunk.decode(stages) if segments or wants_logits else ()
        outputs: dict[str, Any] = {SEGMENTATION: logits} if segments else {}
        for name, head in heads.items():
            outputs[name] = head(image_BCDHW, stages, logits)
        return outputs


def build(system: System) -> MultitaskNetwork:
    """Build the untrained network of `system`.

    Raises:
        UnknownNameError: If the system names a network or head that is not registered.
    """
    num_classes = len(system.structures) + 1
    trunk = NETWORKS.get(system.network.name)(num_classes=num_classes, **system.network.params)
    heads = {
        head.name: HEADS.get(head.name)(system, trunk, **head.params)
        for head in system.heads
        if head.name not in (SEGMENTATION, STAGED_SUBTYPE)
    }
    network = MultitaskNetwork(
        trunk,
        subtype_head(system, trunk.stage_features),
        heads,
        has_segmentation=SEGMENTATION in system.head_names,
    )
    make_exact(network)
    return network


def joint_heads(system: System) -> tuple[Part, ...]:
    """Return the heads that are trained together, one for each of `system.training.losses`."""
    return tuple(head for head in system.heads if head.name != STAGED_SUBTYPE)


def subtype_head(system: System, stage_features: tuple[int, ...]) -> SubtypeHead | None:
    """Build the untrained staged subtype head of `system`; None where it has none.

    Args:
        system: Describes the head.
        stage_features: Channels of the encoder's stages, finest first.
    """
    for head in system.heads:
        if head.name == STAGED_SUBTYPE:
            num_stages = int(head.params["num_stages"])
            return SubtypeHead(
                num_features=num_pooled_features(stage_features[:num_stages]),
                num_subtypes=len(system.subtypes),
                **head.params,
            )
    return None
