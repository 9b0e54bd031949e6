"""Which lines the charts of a federation show, made from the records of its rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app import theme
from app.panels.training.chart import Line

Record = Mapping[str, Any]
_MEGA = 1e6


def sites_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return every site that took part, in a fixed order, so that each keeps its colour."""
    return tuple(sorted({site for record in records for site in record.get("losses", {})}))


def loss_lines(records: Sequence[Record]) -> tuple[Line, ...]:
    """Return the mean training loss of every site."""
    return _by_site(records, lambda record, site: record.get("losses", {}).get(site))


def weight_lines(records: Sequence[Record]) -> tuple[Line, ...]:
    """Return how much every site's update counted; Shen et al., Fig. 2."""
    return _by_site(records, lambda record, site: record.get("weights", {}).get(site))


def bytes_lines(records: Sequence[Record]) -> tuple[Line, ...]:
    """Return the megabytes that left every site, beside those of everything there is."""

    def sent(record: Record, site: str) -> float | None:
        found = record.get("bytes", {}).get(site)
        return None if found is None else found["sent"] / _MEGA

    lines = _by_site(records, sent)
    dense = [next(iter(record["bytes"].values()))["dense"] / _MEGA for record in records]
    if not lines:
        return ()
    rounds = tuple(float(record["round"]) for record in records)
    return (*lines, Line("everything", rounds, tuple(dense), theme.QUIET_TEXT, dashed=True))


def validation_lines(records: Sequence[Record], structure: str) -> tuple[Line, ...]:
    """Return the common model's Dice of a structure at every site."""
    return _by_site(
        records,
        lambda record, site: record.get("validation", {}).get(site, {}).get(structure),
    )


def _by_site(
    records: Sequence[Record], value: Callable[[Record, str], float | None]
) -> tuple[Line, ...]:
    lines: list[Line] = []
    for number, site in enumerate(sites_of(records)):
        points = [
            (float(record["round"]), float(found))
            for record in records
            if (found := value(record, site)) is not None
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            lines.append(Line(site, xs, ys, theme.line_colour(number)))
    return tuple(lines)
