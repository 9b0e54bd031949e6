"""Whether a probability means what it says, and how to make it.

The calibration error is the mean distance between confidence and share of right answers, over
bins of confidence weighted by their cases (Guo et al. 2017, "On Calibration of Modern Neural
Networks"). Guo's 15 bins are of equal width; with the tens of cases of a validation set most of
them would be empty and the rest noise, so
# ours: bins hold equally many cases, at least five, and are 15 where there are 75 cases or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

_NUM_BINS = 15
_CASES_PER_BIN = 5
_NUM_FOLDS = 5
# ours: no probability is taken for certain, or one wrong answer would be infinitely wrong.
_LEAST = 1e-4
# ours: temperatures of 1/20 to 20; beyond them a classifier says the same for every case.
_LOG_TEMPERATURES = (-3.0, 3.0)


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of similar confidence.

    Args:
        confidence: Their mean.
        accuracy: Share of right answers among them.
        num_cases: Their number.
    """

    confidence: float
    accuracy: float
    num_cases: int


def reliability(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return equally filled bins of rising confidence; equal confidences share one.

    Args:
        confidences: (n,), probability of the answer given.
        right: (n,), whether it was the right one.
    """
    if not len(confidences):
        return ()
    order = np.argsort(confidences, kind="stable")
    num_bins = min(_NUM_BINS, max(1, len(order) // _CASES_PER_BIN))
    rising = confidences[order]
    ends = np.arange(1, num_bins) * len(order) // num_bins
    # Which of two equally sure cases came first means nothing, and must not part them.
    ends = np.unique(np.searchsorted(rising, rising[ends - 1], side="right"))
    parts = [part for part in np.split(order, ends) if len(part)]
    return tuple(
        Bin(float(confidences[part].mean()), float(right[part].mean()), len(part)) for part in parts
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error, 0 to 1; NaN without a case."""
    total = sum(part.num_cases for part in bins)
    if not total:
        return float("nan")
    return sum(abs(b.confidence - b.accuracy) * b.num_cases for b in bins) / total


def log_loss(probabilities: NDArray[np.float64], wanted: NDArray[np.int64]) -> float:
    """Return the mean negative log-likelihood of the true classes; NaN without a case.

    Args:
        probabilities: (n, classes).
        wanted: (n,) true classes.
    """
    if not len(wanted):
        return float("nan")
    of_truth = np.clip(probabilities, _LEAST, 1.0)[np.arange(len(wanted)), wanted]
    return float(-np.log(of_truth).mean())


def at_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return softmax(log p / T): flatter above 1, sharper below, of the same order always.

    Args:
        probabilities: (n, classes); they stand for logits, which differ from log p by a constant.
        temperature: T.
    """
    logits = np.log(np.clip(probabilities, _LEAST, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: NDArray[np.float64], wanted: NDArray[np.int64]) -> float:
    """Return the temperature of the least log loss; 1 without a case.

    Args:
        probabilities: (n, classes).
        wanted: (n,) true classes.
    """
    if not len(wanted):
        return 1.0

    def loss(log_temperature: float) -> float:
        return log_loss(at_temperature(probabilities, float(np.exp(log_temperature))), wanted)

    best: Any = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(best.x))


def cross_fitted(
    probabilities: NDArray[np.float64], wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return probabilities scaled by a temperature that never saw their own case.

    The cases are dealt out to five folds class by class; each fold is scaled by the temperature
    fitted to the other four. With fewer than two cases nothing can be fitted, or is changed.
    """
    scaled = probabilities.copy()
    folds = np.empty(len(wanted), np.int64)
    # Dealt out along the classes, so that every fold has its share of each.
    folds[np.argsort(wanted, kind="stable")] = np.arange(len(wanted)) % _NUM_FOLDS
    for fold in range(_NUM_FOLDS):
        own, others = folds == fold, folds != fold
        temperature = fit_temperature(probabilities[others], wanted[others])
        if own.any() and others.any():
            scaled[own] = at_temperature(probabilities[own], temperature)
    return scaled
