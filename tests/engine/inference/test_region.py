from __future__ import annotations

import pytest

from engine.inference.region import span_around


@pytest.mark.parametrize(
    ("lower", "upper", "margin", "window", "size", "expected"),
    [
        (40, 50, 5, 8, 100, (35, 55)),
        (40, 50, 0, 30, 100, (30, 60)),  # the window is wider
        (40, 51, 0, 30, 100, (30, 60)),  # half a voxel off the middle, to the front
        (2, 8, 5, 8, 100, (0, 16)),  # pushed in at the first face
        (90, 99, 5, 8, 100, (81, 100)),  # and at the last one
        (40, 50, 5, 64, 60, (0, 60)),  # a scan smaller than a window
        (40.2, 49.7, 5, 8, 100, (35, 55)),
    ],
)
def test_a_span_holds_what_it_is_around(
    lower: float, upper: float, margin: int, window: int, size: int, expected: tuple[int, int]
) -> None:
    span = span_around(lower, upper, margin=margin, window=window, size=size)
    assert span == expected
