"""How well subtypes are told apart, and whether a classifier tells any apart at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NO_ANSWER = -1
"""Stands for a case without a predicted subtype; it is never right."""

# ours, engine reference section 3.3: a share, and a distance to a constant's score, that alarm.
_LARGEST_SHARE = 0.8
_NEAR_CONSTANT = 0.02


def confusion_matrix(
    wanted: Sequence[int], answers: Sequence[int], num_classes: int
) -> NDArray[np.int64]:
    """Count cases by true class (rows) and answer (columns); the last column is no answer."""
    if len(wanted) != len(answers):
        raise ValueError(f"{len(wanted)} true classes but {len(answers)} answers")
    matrix = np.zeros((num_classes, num_classes + 1), np.int64)
    for true, answer in zip(wanted, answers, strict=True):
        matrix[true, answer] += 1
    return matrix


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Return the share of right answers; NaN without a case."""
    total = int(matrix.sum())
    return float(np.trace(matrix)) / total if total else float("nan")


def macro_f1(matrix: NDArray[np.int64]) -> float:
    """Return the mean F1 over all classes; NaN without a case.

    A class that neither occurs nor is answered counts as 0, as in scikit-learn.
    """
    if not matrix.sum():
        return float("nan")
    right = np.diagonal(matrix).astype(np.float64)
    wanted = matrix.sum(axis=1)
    answered = matrix[:, : len(matrix)].sum(axis=0)
    return float((2 * right / np.maximum(1, wanted + answered)).mean())


def macro_sensitivity(matrix: NDArray[np.int64]) -> float:
    """Return the mean share of each occurring class that is answered right; NaN without a case."""
    wanted = matrix.sum(axis=1)
    right = np.diagonal(matrix)
    return _mean_where(wanted > 0, right / np.maximum(1, wanted))


def macro_specificity(matrix: NDArray[np.int64]) -> float:
    """Return the mean share of the others that is not taken for a class, over all classes.

    Returns:
        NaN where all cases are of one class, or there is none.
    """
    others = matrix.sum() - matrix.sum(axis=1)
    wrong = matrix[:, : len(matrix)].sum(axis=0) - np.diagonal(matrix)
    return _mean_where(others > 0, 1 - wrong / np.maximum(1, others))


def auroc(is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: how often a positive outscores a negative.

    Equal scores count half (Mann and Whitney's U).

    Args:
        is_positive: (n,).
        scores: (n,), larger for what is more likely positive.

    Returns:
        NaN where either kind is missing.
    """
    positive, negative = scores[is_positive], np.sort(scores[~is_positive])
    if not (len(positive) and len(negative)):
        return float("nan")
    below = np.searchsorted(negative, positive, side="left")
    below_or_equal = np.searchsorted(negative, positive, side="right")
    return float((below + below_or_equal).mean() / 2 / len(negative))


def macro_auroc(wanted: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the mean AUROC of every class against the rest.

    Args:
        wanted: (n,) true classes.
        probabilities: (n, classes).

    Returns:
        NaN where no class has both cases and others.
    """
    areas = [auroc(wanted == c, probabilities[:, c]) for c in range(probabilities.shape[1])]
    return _mean_where(~np.isnan(areas), np.array(areas))


def collapse_alarms(matrix: NDArray[np.int64]) -> tuple[str, ...]:
    """Return finished sentences on signs that the classifier answers without looking."""
    answered = matrix[:, : len(matrix)].sum(axis=0)
    if not answered.sum():
        return ("No case was given a subtype.",)
    alarms = []
    share = answered.max() / answered.sum()
    if share > _LARGEST_SHARE:
        alarms.append(f"Subtype {answered.argmax()} is the answer in {share:.0%} of the cases.")
    near = min(_constant_scores(matrix), key=lambda score: abs(score - macro_f1(matrix)))
    if abs(near - macro_f1(matrix)) <= _NEAR_CONSTANT:
        alarms.append(f"Macro-F1 is no better than the {near:.3f} of a constant answer.")
    return tuple(alarms)


def _constant_scores(matrix: NDArray[np.int64]) -> list[float]:
    wanted = matrix.sum(axis=1)
    return [float(2 * n / (n + wanted.sum()) / len(wanted)) for n in wanted]


def _mean_where(known: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    return float(values[known].mean()) if known.any() else float("nan")
