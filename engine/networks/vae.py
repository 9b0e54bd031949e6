"""The reconstruction branch that regularises an encoder in training, and its removal afterwards.

Shapes: B batch, C channels, F latent numbers, D H W slices, rows, columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.system import System

if TYPE_CHECKING:
    from engine.networks.build import MultitaskNetwork

TRAIN_ONLY = frozenset({"vae"})
"""Heads that no inference needs; they are federated, and left out of exported weights."""

_REDUCED = 16
"""Channels the deepest stage is reduced to before the dense layers (Myronenko, 2018)."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """What the branch made of a patch.

    Args:
        image_BCDHW: The patch as it comes out again, normalised as the input is.
        mean_BF: Mean of the latent numbers.
        sd_BF: Their standard deviation, above 0.
    """

    image_BCDHW: Tensor
    mean_BF: Tensor
    sd_BF: Tensor


class VaeHead(nn.Module):
    """Draws latent numbers from the deepest stage and rebuilds the patch from them.

    After Myronenko, BraTS 2018. The literal dense layer on a stage of 512 x 6³ would hold 42
    million numbers; like there, a strided convolution to 16 channels comes before it.

    Args:
        system: Tells the shape of a training patch; the dense layers fit no other.
        trunk: Whose deepest stage is read.
        latent: Number F of latent numbers.
    """

    needs_logits = False

    def __init__(self, system: System, trunk: Any, *, latent: int = 128) -> None:
        super().__init__()
        sizes = _stage_shapes(system.training.patch_shape, trunk.stage_strides)
        deepest = sizes[0]
        self.reduced_shape = (_REDUCED, *(-(-size // 2) for size in deepest))
        num_reduced = torch.Size(self.reduced_shape).numel()
        num_features = int(trunk.stage_features[-1])
        self.reduce = nn.Sequential(
            nn.Conv3d(num_features, _REDUCED, 3, 2, padding=1, bias=False),
            nn.InstanceNorm3d(_REDUCED, affine=True),
            nn.ReLU(),
        )
        self.mean = nn.Linear(num_reduced, latent)
        self.spread = nn.Linear(num_reduced, latent)
        self.expand = nn.Linear(latent, num_reduced)
        layers: list[nn.Module] = []
        before = _REDUCED
        for level, size in enumerate(sizes):
            after = max(1, num_features // 2 ** (level + 1))
            layers += [nn.Conv3d(before, after, 1), _Resize(size), _Residual(after)]
            before = after
        # The last resizing reaches the patch itself, where no residual block is affordable.
        layers += [_Resize(system.training.patch_shape), nn.Conv3d(before, 1, 3, padding=1)]
        self.rebuild = nn.Sequential(*layers)

    def forward(
        self, image_BCDHW: Tensor, stages: tuple[Tensor, ...], logits: tuple[Tensor, ...]
    ) -> Reconstruction | None:
        """Return the rebuilt patch; None in evaluation mode, where nothing asks for it.

        Args:
            image_BCDHW: The patch.
            stages: Of the trunk, finest first.
            logits: Not looked at.
        """
        if not self.training:
            return None
        reduced = self.reduce(stages[-1]).flatten(1)
        mean, sd = self.mean(reduced), F.softplus(self.spread(reduced))
        drawn = mean + sd * torch.randn_like(mean)
        seed = F.relu(self.expand(drawn)).unflatten(1, self.reduced_shape)
        return Reconstruction(self.rebuild(seed), mean, sd)


def is_train_only(head: str) -> bool:
    """Say whether the head called `head` only serves training."""
    return head in TRAIN_ONLY


def strip(network: MultitaskNetwork) -> MultitaskNetwork:
    """Return `network` without the heads that only serve training; the others are shared."""
    heads = {name: head for name, head in network.heads.items() if not is_train_only(name)}
    stripped = type(network)(
        network.trunk, network.subtype, heads, has_segmentation=network.has_segmentation
    )
    return stripped.train(network.training)


def strip_system(system: System) -> System:
    """Return the system whose network `strip` leaves; its training is kept as it was."""
    return replace(
        system, heads=tuple(head for head in system.heads if not is_train_only(head.name))
    )


class _Residual(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_unit(num_features), *_unit(num_features))

    def forward(self, values_BCDHW: Tensor) -> Tensor:
        return values_BCDHW + self.body(values_BCDHW)


class _Resize(nn.Module):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = list(shape)

    def forward(self, values_BCDHW: Tensor) -> Tensor:
        return F.interpolate(values_BCDHW, size=self.shape, mode="trilinear")


def _unit(num_features: int) -> tuple[nn.Module, ...]:
    return (
        nn.InstanceNorm3d(num_features, affine=True),
        nn.ReLU(),
        nn.Conv3d(num_features, num_features, 3, padding=1, bias=False),
    )


def _stage_shapes(
    patch_shape: tuple[int, int, int], strides: tuple[tuple[int, int, int], ...]
) -> list[tuple[int, int, int]]:
    """Return the shapes of the stages below full resolution, deepest first."""
    depth, height, width = patch_shape
    return [
        (-(-depth // along[0]), -(-height // along[1]), -(-width // along[2]))
        for along in reversed(strides)
        if along != (1, 1, 1)
    ]
