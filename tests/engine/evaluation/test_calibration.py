"""Calibration errors of known size are found, and temperatures undo what was done."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from engine.evaluation.calibration import (
    at_temperature,
    calibration_error,
    cross_fitted,
    fit_temperature,
    log_loss,
    reliability,
)


def honest(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of three classes, and truths drawn from those very probabilities."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet((2.0, 2.0, 2.0), num)
    draws = generator.random(num)[:, None]
    return probabilities, (draws > probabilities.cumsum(axis=1)).sum(axis=1)


def error_of(probabilities: np.ndarray, wanted: np.ndarray) -> float:
    right = probabilities.argmax(axis=1) == wanted
    return calibration_error(reliability(probabilities.max(axis=1), right))


def test_bins_are_equally_filled_and_rise() -> None:
    bins = reliability(np.linspace(0, 1, 76), np.ones(76, bool))
    assert len(bins) == 15
    assert {part.num_cases for part in bins} == {5, 6}
    assert sorted(bins, key=lambda part: part.confidence) == list(bins)


@pytest.mark.parametrize(("num", "num_bins"), [(3, 1), (9, 1), (10, 2), (74, 14), (1000, 15)])
def test_few_cases_have_few_bins(num: int, num_bins: int) -> None:
    assert len(reliability(np.linspace(0, 1, num), np.ones(num, bool))) == num_bins


def test_equally_sure_cases_share_a_bin_whatever_their_order() -> None:
    confidences = np.array([0.0] * 20 + [0.5] * 3 + [0.9] * 17)
    right = np.arange(40) % 2 == 0
    bins = reliability(confidences, right)
    assert [part.num_cases for part in bins] == [20, 20]
    shuffled = np.random.default_rng(0).permutation(40)
    again = reliability(confidences[shuffled], right[shuffled])
    assert calibration_error(again) == pytest.approx(calibration_error(bins))
    assert [part.num_cases for part in again] == [20, 20]


def test_an_error_is_the_distance_of_confidence_and_accuracy() -> None:
    # Five cases at 0.9 of which four are right, and five at 0.6 of which none is.
    confidences = np.array([0.9] * 5 + [0.6] * 5)
    right = np.array([True] * 4 + [False] * 6)
    assert calibration_error(reliability(confidences, right)) == pytest.approx((0.1 + 0.6) / 2)


def test_without_cases_nothing_is_known() -> None:
    none = np.empty((0, 3)), np.array([], np.int64)
    assert isnan(error_of(*none))
    assert isnan(log_loss(*none))
    assert fit_temperature(*none) == 1.0
    assert cross_fitted(*none).shape == (0, 3)


def test_honest_probabilities_have_next_to_no_error() -> None:
    assert error_of(*honest(4000)) < 0.03


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_temperature_that_was_applied_is_found(temperature: float) -> None:
    probabilities, wanted = honest(4000)
    spoilt = at_temperature(probabilities, temperature)
    assert fit_temperature(spoilt, wanted) == pytest.approx(1 / temperature, rel=0.1)


def test_scaling_keeps_sums_and_order_and_is_undone_by_its_inverse() -> None:
    probabilities, _ = honest(50)
    scaled = at_temperature(probabilities, 3.0)
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    np.testing.assert_array_equal(scaled.argsort(axis=1), probabilities.argsort(axis=1))
    unclipped = probabilities.min(axis=1) > 1e-3
    np.testing.assert_allclose(
        at_temperature(scaled, 1 / 3)[unclipped], probabilities[unclipped], atol=1e-6
    )


def test_cross_fitting_mends_overconfidence() -> None:
    probabilities, wanted = honest(400)
    spoilt = at_temperature(probabilities, 0.3)
    mended = cross_fitted(spoilt, wanted)
    assert error_of(mended, wanted) < error_of(spoilt, wanted) / 3
    assert log_loss(mended, wanted) < log_loss(spoilt, wanted)


def test_a_cross_fitted_case_has_no_say_in_its_own_temperature() -> None:
    probabilities, wanted = honest(40)
    other = wanted.copy()
    # Within one fold the order of dealing stays the same when two classes are exchanged whole.
    case = int(np.flatnonzero(wanted == 2)[-1])
    before = cross_fitted(probabilities, wanted)[case]
    other[case] = 2
    changed = probabilities.copy()
    changed[case] = (0.98, 0.01, 0.01)
    after = cross_fitted(changed, other)
    fitted = np.log(before[0] / before[1]) / np.log(probabilities[case, 0] / probabilities[case, 1])
    kept = np.log(after[case, 0] / after[case, 1]) / np.log(0.98 / 0.01)
    assert fitted == pytest.approx(kept, rel=1e-6)


def test_one_case_is_left_as_it_is() -> None:
    alone = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_array_equal(cross_fitted(alone, np.array([1])), alone)
