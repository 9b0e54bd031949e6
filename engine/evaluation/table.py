"""Write an evaluation down: JSON for programs, CSV for spreadsheets, Markdown for people."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from math import isnan, nan
from statistics import mean, stdev
from typing import Any

from engine.evaluation.evaluate import Evaluation
from engine.evaluation.figures import Figure
from engine.evaluation.published import rows_beside
from engine.evaluation.rows_json import number, row_to_json

_BESIDE = (
    "Pancreas Dice",
    "Lesion Dice",
    "Mean Dice of pancreas and lesion",
    "Lesion AP at IoU 0.1 (COCO)",
    "Case AUROC",
    "Subtype macro-F1",
)
_NOT_IN_CSV = ("boxes", "subtype_probabilities")


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as plain values; what is not a number is null."""
    abilities = evaluation.abilities
    return {
        "system": evaluation.system,
        "weights_digest": evaluation.weights_digest,
        "num_cases": len(evaluation.rows),
        "abilities": {
            "structures": list(abilities.structures),
            "finds_lesions": abilities.finds_lesions,
            "subtypes": list(abilities.subtypes),
        },
        "figures": {figure.name: _figure_json(figure) for figure in evaluation.figures},
        "confusion": [list(line) for line in evaluation.confusion],
        "sensitivity_at_false_per_case": {
            f"{limit:g}": value for limit, value in evaluation.sensitivity
        },
        "alarms": list(evaluation.alarms),
        "cases": [row_to_json(row) for row in evaluation.rows],
    }


def cases_csv(evaluation: Evaluation) -> str:
    """Return every case as a line of CSV below one of names; unknown is an empty field."""
    text = StringIO()
    rows = [_flat(row_to_json(row), evaluation) for row in evaluation.rows]
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def amount_of_cases(number: int) -> str:
    """Return e.g. "1 case" or "3 cases"."""
    return "1 case" if number == 1 else f"{number} cases"


def figures_markdown(evaluation: Evaluation) -> str:
    """Return the figures as a Markdown table, with their 95 % intervals."""
    lines = ["| figure | value | 95 % interval | cases |", "| --- | ---: | :---: | ---: |"]
    for figure in evaluation.figures:
        cells = (figure.name, _say(figure.value), _interval(figure), str(figure.num_cases))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def folds_markdown(folds: Sequence[Evaluation]) -> str:
    """Return every figure of every fold as a Markdown table, with mean and standard deviation."""
    names = [f"fold {number}" for number in range(len(folds))]
    lines = [
        f"| figure | {' | '.join(names)} | mean | SD |",
        "| --- |" + " ---: |" * (len(folds) + 2),
    ]
    for figures in zip(*(fold.figures for fold in folds), strict=True):
        values = [figure.value for figure in figures]
        known = [value for value in values if not isnan(value)]
        centre = mean(known) if known else nan
        spread = stdev(known) if len(known) > 1 else nan
        cells = (figures[0].name, *(_say(value) for value in (*values, centre, spread)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def published_markdown(evaluation: Evaluation, trained_as: str | None = None) -> str:
    """Return the system's row beside what others published, as a Markdown table with sources.

    Args:
        evaluation: Of the system.
        trained_as: Name of the system whose paper is meant; None takes the evaluation's.
    """
    header = ("who", "data", *_BESIDE, "source")
    lines = [f"| {' | '.join(header)} |", "| --- | --- |" + " ---: |" * len(_BESIDE) + " --- |"]
    ours = [evaluation.figure(name) for name in _BESIDE]
    cells = [f"{_say(f.value)} ({_interval(f)})" if not isnan(f.value) else "–" for f in ours]
    data = f"{amount_of_cases(len(evaluation.rows))} of this data set"
    lines.append(f"| **{evaluation.system}**, measured | {data} | {' | '.join(cells)} | Islet |")
    for row in rows_beside(trained_as or evaluation.system):
        # With the digits its source gives, no more and no fewer.
        cells = [f"{row.figures[name]:g}" if name in row.figures else "–" for name in _BESIDE]
        lines.append(f"| {row.who} | {row.data} | {' | '.join(cells)} | {row.source} |")
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
        "| case | pancreas Dice | NSD | HD95 mm | lesion Dice | NSD | HD95 mm "
        "| subtype | answer | lesions | found | false |",
        "| --- |" + " ---: |" * 11,
    ]
    for row in evaluation.rows:
        numbers = [
            _say(value)
            for agreed in (row.pancreas, row.lesion)
            for value in (agreed.dice, agreed.nsd, agreed.hd95_mm)
        ]
        subtype = "–" if row.subtype is None else str(row.subtype)
        answer = "–" if row.answer < 0 else str(row.answer)
        boxes = row.detections
        counts = ("–",) * 3
        if row.matches:
            counts = (str(boxes.num_lesions), str(boxes.num_hits), str(boxes.num_false))
        lines.append(f"| {' | '.join((row.case_id, *numbers, subtype, answer, *counts))} |")
    return "\n".join(lines) + "\n"


def _flat(row: dict[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if name not in _NOT_IN_CSV}
    chances = row["subtype_probabilities"]
    for subtype in range(len(evaluation.abilities.subtypes)):
        flat[f"probability_{subtype}"] = chances[subtype] if chances else None
    return flat


def _figure_json(figure: Figure) -> dict[str, Any]:
    low, high = figure.interval
    return {
        "value": number(figure.value),
        "interval_95": [number(low), number(high)],
        "num_cases": figure.num_cases,
    }


def _interval(figure: Figure) -> str:
    low, high = figure.interval
    return "–" if isnan(low) else f"{low:.3f} to {high:.3f}"


def _say(value: float) -> str:
    return "–" if isnan(value) else f"{value:.3f}"
