"""The findings of a case as a short table on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from engine.finding import Prediction


def print_findings(prediction: Prediction, console: Console | None = None) -> None:
    """Write one row for every finding, and the subtype of the case.

    Args:
        prediction: What a system found.
        console: Where to write; None takes stdout.
    """
    out = console if console is not None else Console()
    if not prediction.findings:
        out.print("No lesion was found.")
        return
    out.print(_table(prediction))
    if prediction.subtype_probabilities:
        shares = enumerate(prediction.subtype_probabilities)
        out.print("Subtype " + ", ".join(f"{number}: {share:.0%}" for number, share in shares))


def _table(prediction: Prediction) -> Table:
    table = Table("Finding", "Probability", "Centre (x, y, z) mm", "mL", "Long × short mm", "HU")
    for finding in prediction.findings:
        table.add_row(
            finding.finding_id,
            f"{finding.probability:.0%}",
            ", ".join(f"{value:.0f}" for value in finding.centre_mm),
            f"{finding.volume_mm3 / 1000:.2f}",
            f"{finding.longest_diameter_mm:.1f} × {finding.short_axis_mm:.1f}",
            f"{finding.mean_hu:.0f} ± {finding.sd_hu:.0f}",
        )
    return table
