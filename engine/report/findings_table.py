"""The findings of a case as a short table on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from engine.finding import Prediction


def print_findings(prediction: Prediction, console: Console | None = None) -> None:
    """Write one row for every finding, and the subtype of the case.

    A lesion that is known by its box alone has no volume, and a remark below the table says so.

    Args:
        prediction: What a system found.
        console: Where to write; None takes stdout.
    """
    out = console if console is not None else Console()
    if prediction.findings:
        out.print(_table(prediction))
    elif prediction.subtype_probabilities:
        out.print("This system tells what a lesion is like. It does not look for one.")
    else:
        out.print("No lesion was found.")
    if not all(finding.is_outlined for finding in prediction.findings):
        out.print("(box): not outlined; axes are the box's sides, the density is that inside it.")
    if prediction.subtype_probabilities:
        shares = enumerate(prediction.subtype_probabilities)
        out.print("Subtype " + ", ".join(f"{number}: {share:.0%}" for number, share in shares))


def _table(prediction: Prediction) -> Table:
    table = Table("Finding", "Probability", "Centre (x, y, z) mm", "mL", "Long × short mm", "HU")
    for finding in prediction.findings:
        axes = f"{finding.longest_diameter_mm:.1f} × {finding.short_axis_mm:.1f}"
        table.add_row(
            finding.finding_id,
            f"{finding.probability:.0%}",
            ", ".join(f"{value:.0f}" for value in finding.centre_mm),
            f"{finding.volume_mm3 / 1000:.2f}" if finding.is_outlined else "–",
            axes if finding.is_outlined else f"{axes} (box)",
            f"{finding.mean_hu:.0f} ± {finding.sd_hu:.0f}",
        )
    return table
