"""Write an evaluation down: as JSON for programs, as Markdown for a model card."""

from __future__ import annotations

from math import isnan
from typing import Any

from engine.evaluation.evaluate import CaseRow, Evaluation, Figure


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as plain values; what is not a number is null."""
    return {
        "system": evaluation.system,
        "weights_digest": evaluation.weights_digest,
        "num_cases": len(evaluation.rows),
        "figures": {figure.name: _figure_json(figure) for figure in evaluation.figures},
        "confusion": [list(line) for line in evaluation.confusion],
        "sensitivity_at_false_per_case": {
            f"{limit:g}": value for limit, value in evaluation.sensitivity
        },
        "alarms": list(evaluation.alarms),
        "cases": [_row_json(row) for row in evaluation.rows],
    }


def figures_markdown(evaluation: Evaluation) -> str:
    """Return the figures as a Markdown table, with their 95 % intervals."""
    lines = ["| figure | value | 95 % interval | cases |", "| --- | ---: | :---: | ---: |"]
    for figure in evaluation.figures:
        low, high = figure.interval
        interval = "–" if isnan(low) else f"{low:.3f} to {high:.3f}"
        value = "–" if isnan(figure.value) else f"{figure.value:.3f}"
        lines.append(f"| {figure.name} | {value} | {interval} | {figure.num_cases} |")
    return "\n".join(lines) + "\n"


def confusion_markdown(evaluation: Evaluation, subtypes: tuple[str, ...]) -> str:
    """Return the confusion matrix as a Markdown table: true subtypes down, answers across."""
    header = " | ".join((*subtypes, "no answer"))
    lines = [f"| true \\ answer | {header} |", "| --- |" + " ---: |" * (len(subtypes) + 1)]
    for name, counts in zip(subtypes, evaluation.confusion, strict=True):
        lines.append(f"| {name} | {' | '.join(str(count) for count in counts)} |")
    return "\n".join(lines) + "\n"


def cases_markdown(evaluation: Evaluation) -> str:
    """Return every case as a row of a Markdown table."""
    lines = [
        "| case | pancreas Dice | lesion Dice | subtype | answer | lesions | found | false |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in evaluation.rows:
        lesion = "–" if isnan(row.lesion_dice) else f"{row.lesion_dice:.3f}"
        subtype = "–" if row.subtype is None else str(row.subtype)
        answer = "–" if row.answer < 0 else str(row.answer)
        lines.append(
            f"| {row.case_id} | {row.pancreas_dice:.3f} | {lesion} | {subtype} | {answer} "
            f"| {row.detections.num_lesions} | {_num_hits(row)} | {row.detections.num_false} |"
        )
    return "\n".join(lines) + "\n"


def _figure_json(figure: Figure) -> dict[str, Any]:
    low, high = figure.interval
    return {
        "value": _number(figure.value),
        "interval_95": [_number(low), _number(high)],
        "num_cases": figure.num_cases,
    }


def _row_json(row: CaseRow) -> dict[str, Any]:
    return {
        "case_id": row.case_id,
        "pancreas_dice": _number(row.pancreas_dice),
        "lesion_dice": _number(row.lesion_dice),
        "subtype": row.subtype,
        "answer": row.answer if row.answer >= 0 else None,
        "num_lesions": row.detections.num_lesions,
        "num_found": _num_hits(row),
        "num_false": row.detections.num_false,
        "seconds": _number(row.seconds),
    }


def _num_hits(row: CaseRow) -> int:
    return sum(candidate.is_hit for candidate in row.detections.candidates)


def _number(value: float) -> float | None:
    return None if isnan(value) else value
