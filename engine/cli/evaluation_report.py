"""An evaluation as a folder: JSON, CSV, Markdown and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.evaluation.evaluate import Evaluation
    from engine.inference.efficiency import Efficiency

REPORT_BYTES = 20_000_000
"""ours: four pictures twice, and a line for each of thousands of cases."""

JSON_FILE = "evaluation.json"
_NOTICE = "Research use only – not for clinical use."
_NOTES = (
    "Pancreas Dice, NSD and HD95 are of pancreas and lesion together. NSD tolerates 2 mm. HD95 is "
    "the mean over cases where something was found; a lesion that was missed has none, and counts "
    "as 0 in Dice and NSD. A lesion that was not found counts as a wrong subtype. A case is "
    "called sick where at least one finding is reported. AP without (COCO) sums precision "
    "times gain in recall, as picai_eval does; with it, precision is read at 101 recalls. ECE is "
    "over equally filled bins of at least five cases, 15 at most; cross-fitted temperatures never "
    "saw the case they scale, and a temperature of 20 or 1/20 is the end of what is tried."
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is written about one evaluation.

    Args:
        evaluation: Of the cases.
        costs: Of the system's network, then of its localiser's where it has one.
        device: Where it ran.
        device_memory_bytes: Largest memory on an accelerator; None where there is none.
        remarks: Finished sentences that belong beside every figure.
        folds: Of a cross-validation, one by one.
        trained_as: Name of the catalogue's system, where the evaluated one was registered under
            another; None where it bears its own.
    """

    evaluation: Evaluation
    costs: tuple[Efficiency, ...]
    device: str
    device_memory_bytes: int | None
    remarks: tuple[str, ...]
    folds: tuple[Evaluation, ...] = ()
    trained_as: str | None = None


def write_report(report: Report, folder: Path) -> None:
    """Write evaluation.json, .md, cases.csv and the pictures into `folder`, which exists."""
    from engine.evaluation.plots import draw_all
    from engine.evaluation.table import cases_csv

    pictures = draw_all(report.evaluation, folder)
    text = json.dumps(report_json(report), indent=1, allow_nan=False)
    (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "cases.csv").write_text(cases_csv(report.evaluation), encoding="utf-8")
    (folder / "evaluation.md").write_text(_markdown(report, pictures), encoding="utf-8")


def report_json(report: Report) -> dict[str, Any]:
    """Return the evaluation as plain values, with its costs and remarks."""
    from dataclasses import asdict

    from engine.evaluation.table import to_json

    return {
        **to_json(report.evaluation),
        "remarks": list(report.remarks),
        "device": report.device,
        "device_memory_bytes": report.device_memory_bytes,
        "costs": [asdict(cost) for cost in report.costs],
    }


def report_from_json(value: Any) -> Report:
    """Return the report that `report_json` wrote.

    Raises:
        DamagedEvaluationError: If it is not one.
    """
    from engine.evaluation.rows_json import DamagedEvaluationError, evaluation_from_json
    from engine.inference.efficiency import Efficiency

    evaluation = evaluation_from_json(value)
    try:
        costs = tuple(
            Efficiency(**{**cost, "patch_shape": tuple(cost["patch_shape"])})
            for cost in value["costs"]
        )
        device, memory = str(value["device"]), value["device_memory_bytes"]
        return Report(evaluation, costs, device, memory, tuple(value["remarks"]))
    except (KeyError, TypeError) as error:
        raise DamagedEvaluationError from error


def costs_markdown(report: Report) -> str:
    """Return what the networks cost as a Markdown table, beside what their paper says."""
    from engine.evaluation.published import sizes_beside

    lines = [
        "| network | parameters | MACs per window | window | fp32 MB | weights file MB |",
        "| --- | ---: | ---: | :---: | ---: | ---: |",
    ]
    for cost in report.costs:
        window = " × ".join(str(size) for size in cost.patch_shape)
        file = "–" if cost.file_bytes is None else f"{cost.file_bytes / 1e6:.2f}"
        lines.append(
            f"| {cost.system} | {cost.num_parameters:,} | {cost.macs / 1e9:.2f} G | {window} "
            f"| {cost.fp32_bytes / 1e6:.2f} | {file} |"
        )
    for size in sizes_beside(report.trained_as or report.evaluation.system):
        lines.append(f"| {size.who}; {size.source} | – | – | – | {size.fp32_mb:.2f} | – |")
    return "\n".join(lines) + "\n"


def _markdown(report: Report, pictures: Sequence[str]) -> str:
    from engine.evaluation.table import (
        amount_of_cases,
        cases_markdown,
        confusion_markdown,
        figures_markdown,
        folds_markdown,
        published_markdown,
    )

    evaluation = report.evaluation
    subtypes = evaluation.abilities.subtypes
    seen = [f"![{Path(name).stem}]({name})" for name in pictures]
    memory = report.device_memory_bytes
    used = "" if memory is None else f" Largest memory on the device: {memory / 1e6:.0f} MB."
    parts = [
        f"# {evaluation.system} on {amount_of_cases(len(evaluation.rows))}",
        f"{_NOTICE} Measured on {report.device}.{used}",
        "\n".join(f"- {remark}" for remark in (*report.remarks, *evaluation.alarms)),
        "## Figures",
        figures_markdown(evaluation),
        _NOTES,
        "## Folds" if report.folds else "",
        folds_markdown(report.folds) if report.folds else "",
        "## Beside what others published",
        published_markdown(evaluation, report.trained_as),
        "Other data, other splits: no ranking.",
        "## Costs",
        costs_markdown(report),
        "## Subtypes" if subtypes else "",
        confusion_markdown(evaluation, subtypes) if subtypes else "",
        "## Pictures" if seen else "",
        "\n".join(seen),
        "## Cases",
        cases_markdown(evaluation),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
