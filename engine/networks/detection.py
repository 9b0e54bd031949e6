"""The lesion detector: a RetinaNet on a feature pyramid over the shared encoder.

Boxes are those of `engine.networks.boxes`: lower then upper (slice, row, column), in voxels of the
input, outer faces included. Shapes: B samples, N anchors, A anchors at a position, C channels,
D H W slices, rows, columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.networks import boxes as box_arithmetic
from engine.networks.anchors import Shapes, Triple, grid_anchors
from engine.networks.boxes import suppress
from engine.networks.pyramid import Pyramid
from engine.system import System

_NUM_GROUPS = 8
_PRIOR = 0.01  # of an anchor holding a lesion; without it the first steps drown in background


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """What the detector says about every anchor of a patch.

    Args:
        class_logits_BN: float32; of "there is a lesion here".
        box_deltas_BN6: float32; `engine.networks.boxes.encode` of the lesion against the anchor.
        anchors_N6: float32; the same for every sample.
        level_sizes: Number of anchors of each pyramid level, finest first; they sum to N.
        num_shapes: Anchors that share a position, one after the other.
    """

    class_logits_BN: Tensor
    box_deltas_BN6: Tensor
    anchors_N6: Tensor
    level_sizes: tuple[int, ...]
    num_shapes: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the detector's boxes are shown.

    Args:
        score: Probability from which a box counts.
        per_level: Most probable boxes that each pyramid level may offer.
        overlap: Intersection over union from which two boxes are taken for the same lesion.
        max_boxes: Boxes left in the end.
    """

    score: float
    per_level: int
    overlap: float
    max_boxes: int


def decode(detection: Detection) -> tuple[Tensor, Tensor]:
    """Return the box of every anchor, (B, N, 6), and how probably it is a lesion, (B, N)."""
    boxes_BN6 = box_arithmetic.decode(detection.box_deltas_BN6, detection.anchors_N6)
    return boxes_BN6, detection.class_logits_BN.sigmoid()


def select(
    boxes_N6: Tensor,
    probabilities_N: Tensor,
    selection: Selection,
    level_sizes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the boxes of one sample that are worth showing, most probable first.

    Args:
        boxes_N6: From `decode`, or gathered from several windows.
        probabilities_N: Of the boxes.
        selection: What counts.
        level_sizes: Of the `Detection`; None takes all boxes for one level.

    Returns:
        Boxes (n, 6) and their probabilities (n,).
    """
    parts = torch.split(probabilities_N, list(level_sizes or [len(probabilities_N)]))
    kept: list[Tensor] = []
    start = 0
    for part in parts:
        best = part.topk(min(selection.per_level, len(part)))
        kept.append(best.indices[best.values >= selection.score] + start)
        start += len(part)
    candidates = torch.cat(kept)
    boxes, probabilities = boxes_N6[candidates], probabilities_N[candidates]
    left = suppress(boxes, probabilities, overlap=selection.overlap, max_boxes=selection.max_boxes)
    return boxes[left], probabilities[left]


class DetectionHead(nn.Module):
    """Two towers of convolutions over a feature pyramid: is there a lesion, and where exactly.

    Lin et al., Focal Loss for Dense Object Detection, 2017, in three dimensions, with group
    normalisation. The levels share both towers. One class, "lesion".

    Args:
        system: Whose head it is.
        trunk: Gives the stages.
        levels: Which of the trunk's stages the pyramid stands on, finest first; negative numbers
            count from the deepest. Balancing tasks needs a stage here that depends on the trunk's
            `shared_parameters`, that is, the deepest.
        anchors: Edge lengths of the anchors along (slice, row, column) at scale 1, in voxels.
        scales: By which they grow, for every level.
        channels: Of the pyramid and the towers; a multiple of 8.
        num_convs: Convolutions of each tower.
        neck: See `Pyramid`.
        score: See `Selection`, as are the rest.
        per_level: Most probable boxes of a level.
        overlap: From which two boxes are one.
        max_boxes: Boxes left in the end.
    """

    needs_logits = False

    def __init__(
        self,
        system: System,
        trunk: Any,
        *,
        levels: Sequence[int],
        anchors: Sequence[Sequence[float]],
        scales: Sequence[float],
        channels: int = 96,
        num_convs: int = 4,
        neck: str = "panet",
        score: float = 0.02,
        per_level: int = 1000,
        overlap: float = 0.22,
        max_boxes: int = 20,  # ours: MTMed3D keeps one, but a pancreas can hold several lesions
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.strides: tuple[Triple, ...] = tuple(trunk.stage_strides[level] for level in levels)
        self.anchors: Shapes = tuple((float(s), float(r), float(c)) for s, r, c in anchors)
        self.scales = tuple(float(scale) for scale in scales)
        if len(self.scales) != len(self.levels):
            raise ValueError(f"{len(self.levels)} levels need as many scales, got {scales}")
        self.selection = Selection(score, per_level, overlap, max_boxes)
        features = [trunk.stage_features[level] for level in levels]
        self.neck = Pyramid(features, self.strides, channels=channels, neck=neck)
        self.classes = _tower(channels, num_convs, len(self.anchors))
        self.boxes = _tower(channels, num_convs, 6 * len(self.anchors))
        last = self.classes[-1]
        assert isinstance(last, nn.Conv3d)
        assert last.bias is not None
        nn.init.constant_(last.bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(
        self, image_BCDHW: Tensor, stages: tuple[Tensor, ...], logits: tuple[Tensor, ...]
    ) -> Detection:
        """Return what there is to say about every anchor."""
        maps = self.neck([stages[level] for level in self.levels])
        classes = [_by_anchor(self.classes(level), 1) for level in maps]
        anchors = grid_anchors(
            tuple((level.shape[2], level.shape[3], level.shape[4]) for level in maps),
            self.strides,
            self.anchors,
            self.scales,
            image_BCDHW.device,
        )
        return Detection(
            torch.cat(classes, dim=1)[..., 0],
            torch.cat([_by_anchor(self.boxes(level), 6) for level in maps], dim=1),
            anchors,
            tuple(part.shape[1] for part in classes),
            len(self.anchors),
        )


def _tower(channels: int, num_convs: int, num_outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv3d(channels, channels, 3, padding=1))
        layers += [nn.GroupNorm(_NUM_GROUPS, channels), nn.ReLU(inplace=True)]
    layers.append(nn.Conv3d(channels, num_outputs, 3, padding=1))
    for layer in layers:
        if isinstance(layer, nn.Conv3d) and layer.bias is not None:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def _by_anchor(map_BCDHW: Tensor, num_values: int) -> Tensor:
    """Return (B, N, num_values) float32: by position, then by anchor shape."""
    split = map_BCDHW.float().unflatten(1, (-1, num_values))
    return split.permute(0, 3, 4, 5, 1, 2).flatten(1, 4)
