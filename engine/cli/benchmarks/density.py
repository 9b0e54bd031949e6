"""`islet benchmark threshold`: how far HU alone come on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from engine.cli.console import notes, results


def threshold(
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw layout with subtypes.csv.")],
) -> None:
    """Say how far a HU threshold alone comes on a data set: its lesions must be harder."""
    from engine.data.datasets import find_entries
    from engine.evaluation.threshold import best_threshold_dice, density_macro_f1, profile

    entries = [entry for entry in find_entries(data) if entry.subtype is not None]
    profiles = [profile(entry.read()) for entry in track(entries, "Counting", console=notes)]
    dice, (low, high) = best_threshold_dice(profiles)
    results.print(
        f"{len(profiles)} lesion cases. Best HU interval within 10 mm of the true pancreas, "
        f"{low:.0f} to {high:.0f}: mean lesion Dice {dice:.3f}. Subtype from the true lesion's "
        f"mean HU and size, nearest neighbours: macro-F1 {density_macro_f1(profiles):.3f}.",
        highlight=False,
    )
