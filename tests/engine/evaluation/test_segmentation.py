"""Dice, and what it is where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from engine.evaluation.segmentation import dice


def mask(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def test_dice_is_twice_the_overlap_over_the_sum() -> None:
    assert dice(mask(1, 1, 0, 0), mask(0, 1, 1, 1)) == pytest.approx(2 / 5)


def test_dice_is_symmetric() -> None:
    first, second = mask(1, 1, 0, 1), mask(0, 1, 0, 0)
    assert dice(first, second) == dice(second, first)


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [
        pytest.param(mask(0, 0), mask(0, 0), 1.0, id="nothing wanted, nothing found"),
        pytest.param(mask(0, 1), mask(0, 0), 0.0, id="found what is not there"),
        pytest.param(mask(0, 0), mask(0, 1), 0.0, id="missed what is there"),
        pytest.param(mask(0, 1), mask(0, 1), 1.0, id="the same"),
    ],
)
def test_empty_masks_follow_the_convention(
    found: np.ndarray, wanted: np.ndarray, value: float
) -> None:
    assert dice(found, wanted) == value


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        dice(mask(0, 1), mask(0, 1, 1))
