"""Merge the boxes of many windows, and place them in the patient.

Boxes are those of `engine.networks.boxes`: lower then upper (slice, row, column), in voxels, outer
faces included. Shapes: N boxes, V views; a view is one window, as it is or mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.finding import Box
from engine.geometry import Geometry
from engine.inference.sliding_window import SIGMA_SHARE, Shape
from engine.networks import boxes as box_arithmetic
from engine.networks.detection import Detection, Selection, decode, select

# ours: an untrained detector sees lesions everywhere, and every place takes a pass over all boxes.
_MOST_PLACES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Detected lesions on the prepared grid, most probable first.

    Args:
        corners_N6: float32, in voxels of that grid.
        probabilities_N: float32; that there is a lesion.
    """

    corners_N6: NDArray[np.float32]
    probabilities_N: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.probabilities_N)

    def kept(self, which_N: NDArray[np.bool_]) -> Boxes:
        """Return those of the boxes for which `which_N` holds."""
        return Boxes(self.corners_N6[which_N], self.probabilities_N[which_N])


NO_BOXES = Boxes(np.zeros((0, 6), np.float32), np.zeros(0, np.float32))


class BoxCollector:
    """Gathers what the detector says in every window, and merges it.

    Weighted box clustering (Jaeger et al., Retina U-Net, 2018; nnDetection): boxes that overlap the
    surest one are averaged, a view counting by how well its box overlaps, by the box's volume and
    by how close to the middle of its window the box lies. Views that hold the place and saw nothing
    lower the probability.

    Args:
        patch_shape: (slices, rows, columns) of a window.
        selection: Which boxes of a window count, and which of them are the same.
    """

    def __init__(self, patch_shape: Shape, selection: Selection) -> None:
        self._size = torch.tensor(patch_shape, dtype=torch.float64)
        self._patch_shape = patch_shape
        self._selection = selection
        self._starts: list[Shape] = []
        self._corners: list[Tensor] = []
        self._probabilities: list[Tensor] = []

    def add(self, detection: Detection, start: Shape, mirrored: tuple[int, ...]) -> None:
        """Take in one view.

        Args:
            detection: Of a single window.
            start: Voxel of the image where the window begins.
            mirrored: Axes (0, 1, 2) along which it was mirrored.
        """
        boxes_BN6, probabilities_BN = decode(detection)
        corners = box_arithmetic.clip(boxes_BN6[0].double(), self._patch_shape)
        # A box that lies beyond the window has no volume left in it.
        inside = (box_arithmetic.sizes(corners) > 0).all(1)
        probabilities = probabilities_BN[0].double() * inside
        corners, probabilities = select(
            corners, probabilities, self._selection, detection.level_sizes
        )
        corners = corners.cpu()
        for axis in mirrored:
            flipped = self._patch_shape[axis] - corners[:, [axis + 3, axis]]
            corners[:, [axis, axis + 3]] = flipped
        self._corners.append(corners + torch.tensor((*start, *start)))
        self._probabilities.append(probabilities.cpu())
        self._starts.append(start)

    def merged(self, shape: Shape) -> Boxes:
        """Return the boxes that all views together make, cut at the faces of the image.

        Args:
            shape: Of the image.
        """
        if not self._starts:
            return NO_BOXES
        counts = torch.tensor([len(corners) for corners in self._corners])
        views = torch.repeat_interleave(torch.arange(len(counts)), counts)
        starts = torch.tensor(self._starts, dtype=torch.float64)
        corners, probabilities = torch.cat(self._corners), torch.cat(self._probabilities)
        found: list[Tensor] = []
        scores: list[float] = []
        while len(corners) and len(found) < _MOST_PLACES:
            surest = corners[probabilities.argmax()]
            overlaps = box_arithmetic.iou(surest[None], corners)[0]
            # The surest overlaps itself, whatever rounding says.
            same = overlaps >= min(self._selection.overlap, float(overlaps.max()))
            box, score = self._average(
                corners[same], probabilities[same], views[same], overlaps[same], surest, starts
            )
            found.append(box)
            scores.append(score)
            corners, probabilities, views = corners[~same], probabilities[~same], views[~same]
        if not found:
            return NO_BOXES
        clipped = box_arithmetic.clip(torch.stack(found), shape)
        # A box that lies in the padding around a small image is none.
        inside = (box_arithmetic.sizes(clipped) > 0).all(1)
        best, certain = select(clipped[inside], clipped.new_tensor(scores)[inside], self._selection)
        return Boxes(best.float().numpy(), certain.float().numpy())

    def _average(
        self,
        corners: Tensor,
        probabilities: Tensor,
        views: Tensor,
        overlaps: Tensor,
        surest: Tensor,
        starts: Tensor,
    ) -> tuple[Tensor, float]:
        """Return the mean of boxes of one lesion and their probability."""
        own = overlaps * box_arithmetic.sizes(corners).prod(1)
        places = self._centrality(box_arithmetic.centres(corners) - starts[views])
        weights = own * places
        sure = weights * probabilities
        box = (corners * sure[:, None]).sum(0) / sure.sum()
        within = box_arithmetic.centres(surest[None]) - starts
        missed = ((within >= 0) & (within <= self._size)).all(1)
        missed[views] = False
        # ours: a view that saw nothing weighs what a mean box at that place in it would weigh;
        # in Retina U-Net every missing view weighs the same, however near to its rim.
        missing = (self._centrality(within) * missed).sum() * own.mean()
        return box, float(sure.sum() / (weights.sum() + missing))

    def _centrality(self, within_N3: Tensor) -> Tensor:
        """Return the Gaussian weight, 1 in the middle, of places counted from a window's corner."""
        distance = (within_N3 - self._size / 2) / (self._size * SIGMA_SHARE)
        return torch.exp(-0.5 * distance.square().sum(1))


def to_patient(boxes: Boxes, geometry: Geometry) -> tuple[tuple[Box, float], ...]:
    """Return boxes along the patient's axes, in mm, each with its probability.

    Args:
        boxes: On the grid of `geometry`.
        geometry: May lie obliquely; then the patient's box encloses the grid's.
    """
    placed: list[tuple[Box, float]] = []
    for corners, probability in zip(boxes.corners_N6, boxes.probabilities_N, strict=True):
        # Faces are counted from the first voxel's outer face, indices from its centre.
        ends = corners.reshape(2, 3).astype(np.float64) - 0.5
        indices = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
        points = geometry.to_patient(indices)
        left, front, low = points.min(axis=0).tolist()
        right, back, high = points.max(axis=0).tolist()
        placed.append((Box((left, front, low), (right, back, high)), float(probability)))
    return tuple(placed)
