"""What one part of a training step looks at.

Shapes: B samples, K structures, D H W slices, rows, columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

UNKNOWN_SUBTYPE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Patches and everything a loss may compare a head's output with.

    Args:
        image_BCDHW: float32, normalised.
        labels_BDHW: int64; 0 background, k the k-th structure of the system.
        annotated_BK: bool; whether a reader looked for structure k + 1. Where false, the voxels
            of that structure carry the label of whatever encloses it.
        boxes: For each sample the lesions in the patch, (n, 6) float32: lower then upper
            (slice, row, column), in voxels, outer faces included.
        subtypes_B: int64; `UNKNOWN_SUBTYPE` where there is none or the patch shows no lesion.
    """

    image_BCDHW: Tensor
    labels_BDHW: Tensor
    annotated_BK: Tensor
    boxes: tuple[Tensor, ...]
    subtypes_B: Tensor

    def __len__(self) -> int:
        return len(self.image_BCDHW)

    def to(self, device: torch.device) -> Batch:
        """Return the same batch on `device`."""
        return Batch(
            self.image_BCDHW.to(device, non_blocking=True),
            self.labels_BDHW.to(device, non_blocking=True),
            self.annotated_BK.to(device, non_blocking=True),
            tuple(boxes.to(device) for boxes in self.boxes),
            self.subtypes_B.to(device),
        )
