"""Notice a training that went wrong while it runs.

Shapes: N cases, S subtypes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import IsletError
from engine.evaluation.classification import collapse_alarms, confusion_matrix
from engine.training.batch import UNKNOWN_SUBTYPE

# Of the logarithm of S: with three subtypes an entropy of 1.05, where guessing costs 1.0986.
_GUESSING = 1.05 / math.log(3)
# ours: below it, nine of ten answers are the same one.
_UNIFORM_ANSWERS = 0.3
_FEWEST = 20  # ours: fewer answers fall on one side by chance
_REMEMBERED = 100  # ours


class DivergedError(IsletError):
    """The loss of a training is no longer a number."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"The training diverged: the loss of step {step} is not a number.",
            remedy="Lower the learning rate or train in fp32, and resume from the last epoch.",
        )


def check_finite(losses: Mapping[str, Tensor], step: int) -> None:
    """Stop a training whose losses are no longer numbers.

    Raises:
        DivergedError: If one of them is infinite or not a number.
    """
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    if not bool(values.isfinite().all()):
        raise DivergedError(step)


def classifier_alarms(wanted: Sequence[int], probabilities_NS: NDArray[np.float64]) -> list[str]:
    """Return finished sentences on signs that a classifier answers without looking.

    Args:
        wanted: True subtypes.
        probabilities_NS: What the classifier said; rows sum to 1.
    """
    num_subtypes = probabilities_NS.shape[1]
    answers = probabilities_NS.argmax(1)
    alarms = list(collapse_alarms(confusion_matrix(wanted, answers.tolist(), num_subtypes)))
    most = math.log(num_subtypes)
    varied = _entropy(np.bincount(answers, minlength=num_subtypes) / len(answers))
    if varied < _UNIFORM_ANSWERS * most:
        alarms.append(f"The answers hardly vary: their entropy is {varied:.2f} of {most:.2f}.")
    right = probabilities_NS[np.arange(len(answers)), wanted]
    cost = float(-np.log(np.maximum(right, 1e-12)).mean())
    if cost >= _GUESSING * most:
        alarms.append(f"The cross-entropy of {cost:.2f} is that of guessing, {most:.2f}.")
    return alarms


class ClassifierWatch:
    """Remembers the latest answers of a classifier in training, to notice when it gives up."""

    def __init__(self) -> None:
        self._answers: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=_REMEMBERED)

    def add(self, subtypes_N: Tensor, logits_NS: Tensor) -> None:
        """Remember answers; those on unknown subtypes are left out."""
        probabilities = logits_NS.detach().double().softmax(1).cpu().numpy()
        for wanted, answer in zip(subtypes_N.tolist(), probabilities, strict=True):
            if wanted != UNKNOWN_SUBTYPE:
                self._answers.append((wanted, answer))

    def alarms(self) -> list[str]:
        """Return finished sentences on the latest answers; none while they are few."""
        if len(self._answers) < _FEWEST:
            return []
        wanted, answers = zip(*self._answers, strict=True)
        return classifier_alarms(wanted, np.stack(answers))


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float((shares * np.log(1 / shares)).sum())
