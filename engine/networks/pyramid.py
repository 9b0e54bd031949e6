"""Feature pyramids: what coarse stages know, brought to fine ones, and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]


class Pyramid(nn.Module):
    """A top-down pyramid over encoder stages (FPN), and bottom-up again (PANet).

    Args:
        features: Channels of the stages, finest first.
        strides: Voxels of the input that one of theirs spans, for each stage.
        channels: Of every level of the pyramid.
        neck: "fpn" (Lin et al., 2017); "panet", which goes bottom-up by adding the finer level,
            resized, and applies the same convolutions again, as the code of MTMed3D does;
            or "panet_concat" (Liu et al., 2018, as the text of MTMed3D says), which goes bottom-up
            by a strided convolution and concatenation.

    Raises:
        ValueError: If there is no such neck.
    """

    def __init__(
        self, features: Sequence[int], strides: Sequence[Triple], *, channels: int, neck: str
    ) -> None:
        super().__init__()
        if neck not in ("fpn", "panet", "panet_concat"):
            raise ValueError(f"neck must be fpn, panet or panet_concat, got {neck}")
        self.neck = neck
        self.lateral = nn.ModuleList(nn.Conv3d(count, channels, 1) for count in features)
        self.smooth = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1) for _ in features)
        self.shrink = nn.ModuleList()
        self.merge = nn.ModuleList()
        if neck == "panet_concat":
            for fine, coarse in pairwise(strides):
                step = (coarse[0] // fine[0], coarse[1] // fine[1], coarse[2] // fine[2])
                self.shrink.append(nn.Conv3d(channels, channels, 3, stride=step, padding=1))
                self.merge.append(nn.Conv3d(2 * channels, channels, 3, padding=1))

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return as many levels as stages, finest first, each (B, channels, D, H, W)."""
        levels = self._top_down(stages)
        if self.neck == "panet":
            return self._smoothed(self._added_bottom_up(levels))
        if self.neck == "panet_concat":
            return self._joined_bottom_up(levels)
        return levels

    def _top_down(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        laterals = [layer(stage) for layer, stage in zip(self.lateral, stages, strict=True)]
        for fine in range(len(laterals) - 2, -1, -1):
            laterals[fine] = laterals[fine] + _resized(laterals[fine + 1], laterals[fine])
        return self._smoothed(laterals)

    def _smoothed(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(layer(level) for layer, level in zip(self.smooth, levels, strict=True))

    def _added_bottom_up(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        results = [levels[0]]
        for level in levels[1:]:
            results.append(level + _resized(results[-1], level))
        return tuple(results)

    def _joined_bottom_up(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        results = [levels[0]]
        for level, shrink, merge in zip(levels[1:], self.shrink, self.merge, strict=True):
            results.append(merge(torch.cat([level, shrink(results[-1])], dim=1)))
        return tuple(results)


def _resized(source_BCDHW: Tensor, like_BCDHW: Tensor) -> Tensor:
    return F.interpolate(source_BCDHW, size=list(like_BCDHW.shape[2:]), mode="nearest")
