from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.panels.training import words
from app.panels.training.chart import (
    Line,
    Span,
    runs_of,
    smoothed,
    span_of,
    ticks_of,
    whole_ticks_of,
)

FINITE = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)


def line(*ys: float) -> Line:
    return Line("a", tuple(float(x) for x in range(len(ys))), ys, "#ffffff")


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_a_span_shows_every_value(values):
    span = span_of(values)
    assert span is not None
    assert all(-1e-9 <= span.share(value) <= 1 + 1e-9 for value in values)


@given(st.lists(POSITIVE, min_size=1, max_size=20), st.floats(0, 1))
def test_share_and_value_are_inverse_on_either_axis(values, share):
    for is_log in (False, True):
        span = span_of(values, is_log=is_log)
        assert span is not None
        assert span.share(span.value(share)) == pytest.approx(share, abs=1e-6)


@given(POSITIVE, st.floats(0.01, 1e5), st.integers(2, 10))
def test_ticks_are_round_few_and_inside(low, width, count):
    span = Span(low, low + width)
    ticks = ticks_of(span, count)
    assert len(ticks) <= count + 1
    assert all(span.low - 1e-6 * width <= tick <= span.high + 1e-6 * width for tick in ticks)
    assert list(ticks) == sorted(set(ticks))


def test_ticks_are_the_ones_a_person_would_choose():
    assert ticks_of(Span(0.0, 1.0), 5) == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert whole_ticks_of(Span(1.0, 37.0), 4) == (10.0, 20.0, 30.0)
    assert whole_ticks_of(Span(1.0, 2.0), 8) == (1.0, 2.0)
    assert ticks_of(Span(1e-4, 1e-1, is_log=True), 3) == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1))


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis():
    assert span_of((0.0, -1.0, math.nan), is_log=True) is None
    assert runs_of((1.0, 0.0, 2.0, 3.0), Span(1, 3, is_log=True)) == (range(1), range(2, 4))


def test_a_gap_parts_a_line_in_two():
    assert runs_of((1.0, math.nan, 2.0, math.inf), Span(0, 2)) == (range(1), range(2, 3))


def test_smoothing_keeps_a_constant_and_its_weight_zero_keeps_everything():
    assert smoothed(line(2.0, 2.0, 2.0), 0.9).ys == pytest.approx((2.0, 2.0, 2.0))
    assert smoothed(line(1.0, 5.0), 0.0) == line(1.0, 5.0)
    # Divided by what the weights add up to: (0.5 * 0.5 * 1 + 0.5 * 4) / 0.75.
    assert smoothed(line(1.0, 4.0), 0.5).ys[1] == pytest.approx(3.0)


def test_smoothing_steps_over_a_gap():
    ys = smoothed(line(1.0, math.nan, 1.0), 0.5).ys
    assert math.isnan(ys[1])
    assert ys[2] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12345, "0.123"), (1234.4, "1234"), (1e-4, "1e-4"), (2.5e6, "2.5e6"),
     (math.nan, "–")],
)  # fmt: skip
def test_figures_have_three_digits(value, text):
    assert words.figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (42, "42 s"),
        (125, "2 min 05 s"),
        (1500, "25 min"),
        (7320, "2 h 02 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations_are_said_as_a_person_would(seconds, text):
    assert words.duration(seconds) == text


def test_amounts_are_said_in_decimal_units():
    assert words.memory(2_140_000_000) == "2.14 GB"
    assert words.memory(12) == "12 B"
    assert words.parameters(8_063_154) == "8.1 M"
    assert words.counted(1, "run") == "1 run"
    assert words.counted(40, "case") == "40 cases"
