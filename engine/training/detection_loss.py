"""The loss of the lesion detector.

Shapes: B samples, N anchors, n anchors that hold a lesion.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.networks.boxes import encode
from engine.networks.detection import Detection
from engine.training.batch import Batch
from engine.training.matching import BACKGROUND, match_anchors


def retinanet(
    output: Detection,
    batch: Batch,
    *,
    gamma: float = 2.0,
    beta: float = 1 / 9,
    box_weight: float = 1.0,
    num_positions: int = 4,
    structure: int = -1,
) -> Tensor:
    """Return the focal loss of the anchors plus the smooth L1 distance of the boxes.

    Lin et al., Focal Loss for Dense Object Detection, 2017, without class weights, as MTMed3D.
    A sample in which nobody looked for lesions counts zero.

    Args:
        output: What the detector said.
        batch: Its `boxes` are the lesions.
        gamma: How strongly the focal loss plays down what is already known.
        beta: Deltas below it count by their square.
        box_weight: Of the boxes against the classes.
        num_positions: Of each level, that are candidates for a lesion; see `match_anchors`.
        structure: Index into the structures of `batch.annotated_BK` that lesions have.
    """
    # Zero, but part of the graph: every head has a gradient, even if no sample speaks to it.
    total = (output.class_logits_BN.sum() + output.box_deltas_BN6.sum()) * 0.0
    for sample in range(len(batch)):
        if not bool(batch.annotated_BK[sample, structure]):
            continue
        boxes = batch.boxes[sample]
        lesion_N = match_anchors(
            boxes,
            output.anchors_N6,
            output.level_sizes,
            output.num_shapes,
            num_positions=num_positions,
        )
        held_N = lesion_N != BACKGROUND
        total = total + focal(output.class_logits_BN[sample], held_N, gamma)
        if bool(held_N.any()):
            wanted_n6 = encode(boxes[lesion_N[held_N]], output.anchors_N6[held_N])
            given_n6 = output.box_deltas_BN6[sample, held_N]
            total = total + box_weight * F.smooth_l1_loss(given_n6, wanted_n6, beta=beta)
    return total / len(batch)


def focal(logits_N: Tensor, held_N: Tensor, gamma: float) -> Tensor:
    """Return the binary focal loss summed over anchors, per anchor that holds a lesion."""
    truth = held_N.to(logits_N.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits_N, truth, reduction="none")
    missed = torch.where(held_N, (-logits_N).sigmoid(), logits_N.sigmoid())
    # ours: MTMed3D's mean over all anchors would leave a lesion's few without a voice
    return (missed**gamma * entropy).sum() / held_N.sum().clamp_min(1)
