"""The 3D U-Net in four variants: plain or residual levels, with or without attention gates.

Shapes: B batch, C channels, K classes, D H W slices, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import Tensor, nn

_SLOPE = 0.01
_FIRST_GATED_LEVEL = 1
"""The skip at full resolution is not gated (Oktay et al., 2018)."""


class UNet3d(nn.Module):
    """U-Net with two units per level, max pooling down and transposed convolutions up.

    Çiçek et al., 2016; residual levels as He et al., 2016; gates as Oktay et al., 2018.
    Every axis of the input must be divisible by 2 ** (levels - 1).

    Args:
        num_classes: Segmentation classes, background included.
        features: Channels of every level, finest first.
        residual: Whether every level has a shortcut.
        gated: Whether the skips below full resolution pass an attention gate.
        deep_supervision: Whether every decoder level gives logits, not the finest alone.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: Sequence[int],
        residual: bool = False,
        gated: bool = False,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        level = ResidualLevel if residual else PlainLevel
        wide = tuple(features)
        pairs = tuple(pairwise(wide))
        self.down = nn.ModuleList(level(before, after) for before, after in pairwise((1, *wide)))
        self.up = nn.ModuleList(nn.ConvTranspose3d(c, f, 2, 2) for f, c in pairs)
        self.merge = nn.ModuleList(level(2 * f, f) for f, _ in pairs)
        self.gates = nn.ModuleList(
            AttentionGate(f, c) if gated and number >= _FIRST_GATED_LEVEL else nn.Identity()
            for number, (f, c) in enumerate(pairs)
        )
        outputs = wide[:-1] if deep_supervision else wide[:1]
        self.logits = nn.ModuleList(nn.Conv3d(f, num_classes, 1) for f in outputs)
        self.apply(InitWeights_He(_SLOPE))
        self.stage_features = wide
        self.stage_strides = tuple((2**n, 2**n, 2**n) for n in range(len(wide)))

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the output of every encoder level, finest first, each (B, C, D, H, W)."""
        stages = [self.down[0](image_BCDHW)]
        for level in list(self.down)[1:]:
            stages.append(level(F.max_pool3d(stages[-1], 2)))
        return tuple(stages)

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return segmentation logits (B, K, D, H, W), finest first; one without supervision."""
        values = stages[-1]
        results: list[Tensor] = []
        for number in reversed(range(len(self.up))):
            skip = stages[number]
            if isinstance(self.gates[number], AttentionGate):
                skip = self.gates[number](skip, values)
            values = self.merge[number](torch.cat((skip, self.up[number](values)), 1))
            if number < len(self.logits):
                results.append(self.logits[number](values))
        return tuple(reversed(results))

    def forward(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return segmentation logits, finest first."""
        return self.decode(self.encode(image_BCDHW))

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the deepest encoder level."""
        return tuple(self.down[-1].parameters())


class PlainLevel(nn.Sequential):
    """Two units of convolution, instance normalisation and leaky rectifier."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__(
            *_normalised(num_inputs, num_outputs, 3),
            _rectifier(),
            *_normalised(num_outputs, num_outputs, 3),
            _rectifier(),
        )


class ResidualLevel(nn.Module):
    """The same two units with a shortcut that is added before the last rectifier."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normalised(num_inputs, num_outputs, 3),
            _rectifier(),
            *_normalised(num_outputs, num_outputs, 3),
        )
        same = num_inputs == num_outputs
        self.shortcut = nn.Sequential(*([] if same else _normalised(num_inputs, num_outputs, 1)))
        self.last = _rectifier()

    def forward(self, values_BCDHW: Tensor) -> Tensor:
        """Return (B, num_outputs, D, H, W)."""
        return self.last(self.body(values_BCDHW) + self.shortcut(values_BCDHW))


class AttentionGate(nn.Module):
    """Weighs a skip by what the coarser decoder level found there (grid attention).

    Oktay et al., Attention U-Net, 2018.

    Args:
        num_skip: Channels of the skip.
        num_gating: Channels of the decoder level below, which has half the resolution.
    """

    def __init__(self, num_skip: int, num_gating: int) -> None:
        super().__init__()
        inner = num_skip // 2
        self.theta = nn.Conv3d(num_skip, inner, 2, 2, bias=False)
        self.phi = nn.Conv3d(num_gating, inner, 1)
        self.psi = nn.Conv3d(inner, 1, 1)
        self.out = nn.Sequential(
            nn.Conv3d(num_skip, num_skip, 1), nn.InstanceNorm3d(num_skip, affine=True)
        )

    def forward(self, skip_BCDHW: Tensor, gating_BCDHW: Tensor) -> Tensor:
        """Return the weighed skip, of the skip's shape."""
        weight = self.psi(F.relu(self.theta(skip_BCDHW) + self.phi(gating_BCDHW))).sigmoid()
        size = list(skip_BCDHW.shape[2:])
        return self.out(skip_BCDHW * F.interpolate(weight, size=size, mode="trilinear"))


def _normalised(num_inputs: int, num_outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    return (
        nn.Conv3d(num_inputs, num_outputs, kernel, padding=kernel // 2, bias=False),
        nn.InstanceNorm3d(num_outputs, affine=True),
    )


def _rectifier() -> nn.Module:
    return nn.LeakyReLU(_SLOPE, inplace=True)
