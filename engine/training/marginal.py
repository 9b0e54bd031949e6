"""Score structures only where a reader looked for them.

A structure that nobody looked for lies inside the one before it: an unlabelled lesion is part of
the pancreas, an unlabelled pancreas part of the background. Its probability is merged into
theirs, so that the loss asks only what the labels can answer. Shi et al., Marginal loss and
exclusion loss for partially supervised multi-organ segmentation, Medical Image Analysis 2021.

Shapes: K classes, D H W slices, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_unlabelled(
    logits_KDHW: Tensor, labels_DHW: Tensor, annotated: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    """Merge every structure that is not annotated into the one that encloses it.

    The softmax of the merged logits is the sum of the merged probabilities, since a sum of
    probabilities is a sum of exponentials over the same denominator.

    Args:
        logits_KDHW: Of one sample.
        labels_DHW: int64, 0 to K - 1.
        annotated: Whether a reader looked for structure 1, 2, … K - 1.

    Returns:
        Logits and labels of the classes that are left, in their order.
    """
    groups: list[list[int]] = [[0]]
    for structure, is_annotated in enumerate(annotated, start=1):
        if is_annotated:
            groups.append([structure])
        else:
            groups[-1].append(structure)
    merged = torch.stack([logits_KDHW[group].logsumexp(0) for group in groups])
    numbers = [number for number, group in enumerate(groups) for _ in group]
    return merged, torch.tensor(numbers, device=labels_DHW.device)[labels_DHW]
