"""Draw the table and the rounds of federations as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from engine.federated.table import Row, columns_of

_NOTICE = "Research use only – not for clinical use"
_INK, _GRID, _NOTE = "#22303c", "#d5dbe0", "#d55e00"


def draw(
    rows: Sequence[Row], records: Mapping[str, Sequence[Mapping[str, Any]]], path: Path
) -> None:
    """Write a PNG: the mean Dice of every row and column, and every federation's losses by round.

    Args:
        rows: Of the table.
        records: By title of a row, what its rounds were like.
        path: Of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: it would look for a display, and keep every picture for ever.
    picture = Figure(figsize=(11, 2.4 + 0.4 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(picture)
    cells, losses = picture.subplots(1, 2)
    _draw_cells(cells, rows)
    _draw_losses(losses, records)
    for axes in (cells, losses):
        axes.grid(True, color=_GRID, lw=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    picture.supxlabel(_NOTICE, fontsize=8, color=_NOTE)
    picture.savefig(path)


def _draw_cells(axes: Any, rows: Sequence[Row]) -> None:
    for site, name in columns_of(rows):
        known = [
            (place, mean(row.scores[site][name]))
            for place, row in enumerate(rows)
            if row.scores.get(site, {}).get(name)
        ]
        places, values = zip(*known, strict=True)
        axes.plot(values, places, "o", ms=6, alpha=0.8, label=f"{site} {name}")
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("Mean Dice of the test cases")
    axes.set_title("Every way to train, at every site", color=_INK, fontsize=11)
    axes.legend(fontsize=7, frameon=False)


def _draw_losses(axes: Any, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    styles = ("-", "--", ":", "-.")
    sites = list(dict.fromkeys(site for rounds in records.values() for site in rounds[0]["losses"]))
    for number, (title, rounds) in enumerate(records.items()):
        for site in rounds[0]["losses"]:
            axes.plot(
                [record["round"] for record in rounds],
                [record["losses"][site] for record in rounds],
                styles[number % len(styles)],
                color=f"C{sites.index(site)}",
                lw=1.5,
                label=f"{title}, {site}",
            )
    axes.set_xlabel("Round")
    axes.set_ylabel("Mean training loss")
    axes.set_title("Loss of every site", color=_INK, fontsize=11)
    axes.legend(fontsize=6, frameon=False)
