"""C2FNAS: the network a coarse-to-fine search found for the organs of the Medical Decathlon.

Shapes: B batch, C channels, K classes, D H W slices, rows, columns. Levels count from 0, at half
the resolution of the input; the channels of level n are `width` * 2 ** (n + 1).

Yu et al., C2FNAS, CVPR 2020. The authors released no code: cells and wiring follow a description
of a public re-implementation, which has 15.3 million parameters where the paper's table says
17.0. Do not expect it to be the authors' network to the bit.
"""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import torch
import torch.nn.functional as F
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import Tensor, nn

_TOPOLOGY = (0, 0, 1, 1, 2, 3, 2, 2, 1, 0, 0, 0)
"""The level of each of the twelve cells."""

_OPERATIONS = ("2d", "p3d", "3d", "3d", "3d", "2d", "3d", "3d", "p3d", "3d", "2d", "3d")
"""What each of the twelve cells convolves with."""

_NUM_ENCODER_CELLS = 6
_NUM_LEVELS = max(_TOPOLOGY) + 1

_KERNELS = {
    # In-plane first: slices lie farther apart than rows and columns.
    "2d": ((1, 3, 3),),
    "3d": ((3, 3, 3),),
    "p3d": ((1, 3, 3), (3, 1, 1)),
}


class C2FNAS(nn.Module):
    """Twelve searched cells along a U-shaped path, without deep supervision.

    Every axis of the input must be divisible by 16. The stages it hands out are the encoder's
    outputs by level; the stem at full resolution is not among them.

    Args:
        num_classes: Segmentation classes, background included.
        width: Channels of the stem at full resolution; 32 in the paper.
    """

    def __init__(self, *, num_classes: int, width: int = 32) -> None:
        super().__init__()
        wide = tuple(width * 2 ** (level + 1) for level in range(_NUM_LEVELS))
        self.stem = nn.Sequential(
            *_normalised(1, width), nn.ReLU(), *_normalised(width, wide[0], stride=2)
        )
        self.encoder = nn.ModuleList(
            Cell(wide[level], operation, num_inputs=2 if number == 1 else 1)
            for number, (level, operation) in enumerate(_cells()[:_NUM_ENCODER_CELLS])
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.ReLU(), *_normalised(fine, coarse, stride=2))
            for fine, coarse in pairwise(wide)
        )
        self.up = nn.ModuleList(Up(coarse, fine) for fine, coarse in pairwise(wide))
        self.decoder = nn.ModuleList(
            Cell(wide[level], operation, num_inputs=2 if number == len(_TOPOLOGY) - 1 else 1)
            for number, (level, operation) in enumerate(_cells())
            if number >= _NUM_ENCODER_CELLS
        )
        self.refine = nn.Sequential(nn.ReLU(), *_normalised(2 * wide[0], wide[0]), nn.ReLU())
        self.logits = nn.Sequential(
            *_normalised(wide[0], width), nn.ReLU(), nn.Conv3d(width, num_classes, 1, bias=False)
        )
        self.apply(InitWeights_He(0.0))
        self.stage_features = wide
        self.stage_strides = tuple((2**n, 2**n, 2**n) for n in range(1, _NUM_LEVELS + 1))

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's output of every level, finest first, each (B, C, D, H, W)."""
        stem = self.stem(image_BCDHW)
        first, second, third, fourth, fifth, sixth = self.encoder
        level_0 = second(first(stem), stem)
        level_1 = fourth(third(self.down[0](level_0)))
        level_2 = fifth(self.down[1](level_1))
        level_3 = sixth(self.down[2](level_2))
        return level_0, level_1, level_2, level_3

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return segmentation logits (B, K, D, H, W) at the resolution of the input."""
        level_0, level_1, level_2, level_3 = stages
        seventh, eighth, ninth, tenth, eleventh, twelfth = self.decoder
        values = eighth(seventh(level_2, merged=self.up[2](level_3)))
        values = ninth(level_1, merged=self.up[1](values))
        merge = tenth(level_0, merged=self.up[0](values))
        middle = eleventh(merge)
        last = twelfth(middle, merge)
        fine = self.refine(torch.cat((middle, last), 1))
        return (self.logits(F.interpolate(fine, scale_factor=2, mode="trilinear")),)

    def forward(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return segmentation logits, as the one member of a tuple."""
        return self.decode(self.encode(image_BCDHW))

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the deepest cell."""
        return tuple(self.encoder[-1].parameters())


class Cell(nn.Module):
    """One searched operation between two pointwise convolutions.

    Args:
        num_features: Channels of every input and of the output.
        operation: "2d" within slices, "3d", or "p3d": within slices, then across them.
        num_inputs: Outputs of earlier cells that are summed.
    """

    def __init__(self, num_features: int, operation: str, *, num_inputs: int) -> None:
        super().__init__()
        self.pre = nn.ModuleList(
            nn.Conv3d(num_features, num_features, 1, bias=False) for _ in range(num_inputs)
        )
        self.operation = nn.Sequential(
            *(
                nn.Conv3d(
                    num_features,
                    num_features,
                    kernel,
                    padding=(kernel[0] // 2, kernel[1] // 2, kernel[2] // 2),
                    bias=False,
                )
                for kernel in _KERNELS[operation]
            ),
            nn.InstanceNorm3d(num_features, affine=True),
        )
        self.post = nn.Conv3d(num_features, num_features, 1, bias=False)

    def forward(self, *inputs_BCDHW: Tensor, merged: Tensor | None = None) -> Tensor:
        """Return (B, C, D, H, W).

        Args:
            inputs_BCDHW: As many as the cell has inputs.
            merged: What `Up` brought from the coarser level, which is added as it is.
        """
        pairs = zip(self.pre, inputs_BCDHW, strict=True)
        terms = [convolve(values) for convolve, values in pairs]
        if merged is not None:
            terms.append(merged)
        return self.post(self.operation(F.relu(reduce(torch.add, terms))))


class Up(nn.Module):
    """Bring a coarser level to the resolution and the channels of the next finer one."""

    def __init__(self, num_coarse: int, num_fine: int) -> None:
        super().__init__()
        self.convolve = nn.Conv3d(num_coarse, num_fine, 1, bias=False)
        self.normalise = nn.InstanceNorm3d(num_fine)

    def forward(self, values_BCDHW: Tensor) -> Tensor:
        """Return (B, num_fine, 2 D, 2 H, 2 W)."""
        finer = F.interpolate(values_BCDHW, scale_factor=2, mode="trilinear")
        return self.normalise(self.convolve(F.relu(finer)))


def _cells() -> tuple[tuple[int, str], ...]:
    return tuple(zip(_TOPOLOGY, _OPERATIONS, strict=True))


def _normalised(
    num_inputs: int, num_outputs: int, *, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    return (
        nn.Conv3d(num_inputs, num_outputs, 3, stride, padding=1, bias=False),
        nn.InstanceNorm3d(num_outputs, affine=True),
    )
