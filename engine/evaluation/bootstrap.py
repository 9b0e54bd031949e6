"""How far a figure might move with other cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_NUM_DRAWS = 2000


def interval_95(
    rows: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    seed: int = 0,
    num_draws: int | None = None,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of `statistic` under resampling of cases.

    Args:
        rows: One per case; the case is what is drawn.
        statistic: Of drawn rows; a draw for which it is NaN is left out.
        seed: Of the draws; the same seed gives the same interval.
        num_draws: Number of draws; None makes 2000.

    Returns:
        (lower, upper); NaN where no draw has a value.
    """
    generator = np.random.default_rng(seed)
    values = []
    wanted = _NUM_DRAWS if num_draws is None else num_draws
    for _ in range(wanted if rows else 0):
        drawn = generator.integers(len(rows), size=len(rows))
        values.append(statistic([rows[number] for number in drawn]))
    known = np.array(values)[~np.isnan(values)] if values else np.array([])
    if not len(known):
        return float("nan"), float("nan")
    lower, upper = np.percentile(known, [2.5, 97.5])
    return float(lower), float(upper)
