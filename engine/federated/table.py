"""The papers' cross-site table: a row for every way to train, a column for every site's structure.

Two papers average differently, and both averages are shown: over sites, each the mean of its
structures (Shen et al., 2021, "All Avg"), and over structures, each the mean over all sites' cases
(Wang et al., 2020, "Average").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import mean
from typing import Any

from engine.evaluation.bootstrap import interval_95

SiteScores = Mapping[str, Mapping[str, Sequence[float]]]
"""By site and structure, the Dice of every test case that shows it."""

OVER_SITES, OVER_STRUCTURES = "mean over sites", "mean over structures"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to train.

    Args:
        title: What a reader calls it.
        scores: On the test cases of every site.
    """

    title: str
    scores: SiteScores


def mean_over_sites(cells: Mapping[str, Mapping[str, float]]) -> float:
    """Return the mean over sites of the mean of a site's structures; Shen et al., Table 1.

    Args:
        cells: By site and structure. A site without any is left out.

    Returns:
        NaN where there is nothing to average.
    """
    sites = [mean(structures.values()) for structures in cells.values() if structures]
    return mean(sites) if sites else nan


def mean_over_structures(
    cells: Mapping[str, Mapping[str, float]], num_cases: Mapping[str, Mapping[str, int]]
) -> float:
    """Return the mean over structures of their mean over all sites' cases; Wang et al., Table 2.

    Args:
        cells: By site and structure.
        num_cases: Of every cell.

    Returns:
        NaN where there is nothing to average.
    """
    names = dict.fromkeys(name for structures in cells.values() for name in structures)
    means: list[float] = []
    for name in names:
        pairs = [
            (cells[site][name], num_cases[site][name]) for site in cells if name in cells[site]
        ]
        means.append(sum(cell * count for cell, count in pairs) / sum(n for _, n in pairs))
    return mean(means) if means else nan


def averages(scores: SiteScores) -> dict[str, float]:
    """Return both averages of a row, by name."""
    cells = {site: {n: mean(v) for n, v in each.items() if v} for site, each in scores.items()}
    counts = {site: {n: len(v) for n, v in each.items()} for site, each in scores.items()}
    return {
        OVER_SITES: mean_over_sites(cells),
        OVER_STRUCTURES: mean_over_structures(cells, counts),
    }


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the table as plain values, with 95 % intervals over cases; unknown is null."""
    return [
        {
            "row": row.title,
            "cells": {
                site: {name: _cell(values) for name, values in each.items()}
                for site, each in row.scores.items()
            },
            "averages": {name: _known(value) for name, value in averages(row.scores).items()},
        }
        for row in rows
    ]


def to_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown: mean Dice, and its 95 % interval over cases."""
    columns = columns_of(rows)
    heads = [f"{site} {name}" for site, name in columns]
    lines = [
        f"| | {' | '.join((*heads, OVER_SITES, OVER_STRUCTURES))} |",
        "| --- |" + " ---: |" * (len(columns) + 2),
    ]
    for row in rows:
        cells = [_say(row.scores.get(site, {}).get(name, ())) for site, name in columns]
        means = [_number(value) for value in averages(row.scores).values()]
        lines.append(f"| {' | '.join((row.title, *cells, *means))} |")
    return "\n".join(lines) + "\n"


def columns_of(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Return (site, structure) of every column, in the order of the sites."""
    found = [(site, name) for row in rows for site, each in row.scores.items() for name in each]
    sites = list(dict.fromkeys(site for site, _ in found))
    return tuple(sorted(dict.fromkeys(found), key=lambda column: sites.index(column[0])))


def _cell(values: Sequence[float]) -> dict[str, Any]:
    low, high = interval_95(values, mean)
    return {
        "dice": _known(mean(values) if values else nan),
        "interval_95": [_known(low), _known(high)],
        "num_cases": len(values),
        "cases": list(values),
    }


def _say(values: Sequence[float]) -> str:
    if not values:
        return "–"
    low, high = interval_95(values, mean)
    return f"{mean(values):.3f} ({low:.3f} to {high:.3f})"


def _number(value: float) -> str:
    return "–" if isnan(value) else f"{value:.3f}"


def _known(value: float) -> float | None:
    return None if isnan(value) else value
