"""How figures of a training are written for a person."""

from __future__ import annotations

import math

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_MANY_MINUTES_S = 600


def figure(value: float) -> str:
    """Return `value` with three significant digits."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10_000 or abs(value) < 0.001:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def memory(num_bytes: float) -> str:
    """Return an amount of memory in decimal units."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= size:
            return f"{figure(num_bytes / size)} {unit}"
    return f"{num_bytes:.0f} B"


def duration(seconds: float) -> str:
    """Return a stretch of time in its largest units, no finer than a person asks for."""
    whole = max(round(seconds), 0)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _MANY_MINUTES_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def parameters(count: int) -> str:
    """Return a number of parameters."""
    if count < 1_000_000:
        return f"{count / 1e3:.0f} k"
    return f"{count / 1e6:.1f} M"


def counted(number: int, thing: str) -> str:
    """Return e.g. "1 case" or "40 cases"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
