"""How well two masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks of one shape, 0 to 1.

    Returns:
        1 where both are empty: nothing was wanted, and nothing was found. Whoever averages over
        "cases with a lesion" leaves such cases out beforehand.

    Raises:
        ValueError: If the shapes differ.
    """
    if found.shape != wanted.shape:
        raise ValueError(f"masks differ in shape: {found.shape} and {wanted.shape}")
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted))
    if total == 0:
        return 1.0
    return 2 * int(np.count_nonzero(found & wanted)) / total
