"""The arithmetic of a chart: lines, their smoothing, and ticks a person would have chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

_STEPS = (1.0, 2.0, 5.0, 10.0)
# ours: a flat line is drawn in the middle of a span this wide, as a share of its value
_FLAT_MARGIN = 0.1
_MARGIN = 0.06


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Args:
        name: As the legend shows it.
        xs: Rising.
        ys: One for each of `xs`; what is not finite leaves a gap.
        colour: "#rrggbb".
        dashed: Whether it is told apart by its stroke as well.
    """

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    colour: str
    dashed: bool = False

    def nearest(self, x: float) -> int | None:
        """Return the index of the point nearest to `x`; None where there is no point."""
        return min(range(len(self.xs)), key=lambda i: abs(self.xs[i] - x), default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """What an axis shows, from `low` to `high`."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where `value` lies, 0 at `low` and 1 at `high`."""
        low, high, at = (self._scaled(v) for v in (self.low, self.high, value))
        return (at - low) / (high - low)

    def value(self, share: float) -> float:
        """Return what lies at `share`; the inverse of `share`."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        at = low + share * (high - low)
        return 10.0**at if self.is_log else at

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def smoothed(line: Line, weight: float) -> Line:
    """Return `line` as a running mean that keeps `weight` of what was, 0 to 1.

    Divided by what the weights add up to, so that its beginning is not drawn to zero.
    """
    if weight <= 0:
        return line
    mean, total, ys = 0.0, 0.0, []
    for y in line.ys:
        if math.isfinite(y):
            mean = weight * mean + (1 - weight) * y
            total = weight * total + (1 - weight)
        ys.append(mean / total if math.isfinite(y) else y)
    return replace(line, ys=tuple(ys))


def span_of(values: Sequence[float], *, is_log: bool = False) -> Span | None:
    """Return a span that shows every finite value with a margin; None where there is none."""
    shown = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
    if not shown:
        return None
    low, high = min(shown), max(shown)
    if is_log:
        margin = (high / low) ** _MARGIN if high > low else 1.5
        return Span(low / margin, high * margin, is_log=True)
    margin = (high - low) * _MARGIN or abs(high) * _FLAT_MARGIN or 1.0
    # What is never below zero has its axis there, not under it.
    bottom = max(low - margin, 0.0) if low >= 0 else low - margin
    return Span(bottom, high + margin)


def ticks_of(span: Span, count: int) -> tuple[float, ...]:
    """Return about `count` round values within `span`."""
    if span.is_log:
        return _log_ticks(span, count)
    step = _round_step((span.high - span.low) / max(count, 1))
    first = math.ceil(span.low / step - 1e-9)
    last = math.floor(span.high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def whole_ticks_of(span: Span, count: int) -> tuple[float, ...]:
    """Return about `count` whole numbers within `span`, such as epochs."""
    step = max(_round_step((span.high - span.low) / max(count, 1)), 1.0)
    first, last = math.ceil(span.low / step), math.floor(span.high / step)
    return tuple(number * step for number in range(first, last + 1))


def runs_of(ys: Sequence[float], span: Span) -> tuple[range, ...]:
    """Return the stretches of `ys` that can be drawn without a gap."""
    drawn = [math.isfinite(y) and (y > 0 or not span.is_log) for y in ys]
    edges = [i for i, (was, now) in enumerate(pairwise((False, *drawn, False))) if was != now]
    return tuple(range(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True))


def _log_ticks(span: Span, count: int) -> tuple[float, ...]:
    low, high = math.floor(math.log10(span.low)), math.ceil(math.log10(span.high))
    num_decades = high - low
    factors = (1.0,) if num_decades >= count else (1.0, 2.0, 5.0)
    stride = max(1, math.ceil(num_decades / max(count, 1)))
    ticks = [f * 10.0**d for d in range(low, high + 1, stride) for f in factors]
    return tuple(tick for tick in ticks if span.low <= tick <= span.high)


def _round_step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(step * size for step in _STEPS if step * size >= rough * 0.999)
