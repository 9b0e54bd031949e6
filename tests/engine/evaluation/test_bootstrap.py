"""Intervals that repeat, cover, and widen with fewer cases."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan

import numpy as np
import pytest

from engine.evaluation.bootstrap import interval_95


def mean(rows: Sequence[float]) -> float:
    return float(np.mean(rows))


def sample(num: int) -> list[float]:
    return list(np.random.default_rng(5).normal(size=num))


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = sample(30)
    assert interval_95(rows, mean, seed=1) == interval_95(rows, mean, seed=1)
    assert interval_95(rows, mean, seed=1) != interval_95(rows, mean, seed=2)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    rows = sample(100)
    low, high = interval_95(rows, mean)
    half = 1.96 * np.std(rows) / 10
    assert low == pytest.approx(mean(rows) - half, abs=0.03)
    assert high == pytest.approx(mean(rows) + half, abs=0.03)


def test_draws_without_a_value_are_left_out() -> None:
    low, high = interval_95([1.0, 3.0], lambda rows: nan if rows[0] == 1.0 else mean(rows))
    assert (low, high) == (2.0, 3.0)


def test_without_cases_there_is_no_interval() -> None:
    assert all(isnan(end) for end in interval_95([], mean))
    assert all(isnan(end) for end in interval_95([1.0], lambda _rows: nan, num_draws=10))
