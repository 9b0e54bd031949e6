"""`islet evaluate`: how well a system does on cases with reference labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.catalogue import SYSTEMS
from engine.cli.console import results
from engine.cli.output import check_output_folder, complete_or_nothing
from engine.cli.progress import with_progress

if TYPE_CHECKING:
    from engine.case import Case
    from engine.evaluation.evaluate import Evaluation
    from engine.finding import Prediction
    from engine.progress import OnProgress
    from engine.system import System

_REPORT_BYTES = 5_000_000


def evaluate(
    system: Annotated[str, typer.Argument(help="Name of the system; see 'islet systems'.")],
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw layout with subtypes.csv.")],
    out: Annotated[Path, typer.Option(help="Folder for the report; new or empty.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights file of a run, instead of the shipped one.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Predict every case of a data set and compare with its reference labels.

    Writes evaluation.json and evaluation.md, every figure with its 95 % bootstrap interval.
    """
    chosen = SYSTEMS.get(system)
    check_output_folder(out, needed_bytes=_REPORT_BYTES)
    report = with_progress(lambda tell: _evaluate(chosen, data, weights, device, tell))
    from engine.evaluation.table import (
        cases_markdown,
        confusion_markdown,
        figures_markdown,
        to_json,
    )

    confusion = confusion_markdown(report, chosen.subtypes) if chosen.subtypes else ""
    text = "\n".join((figures_markdown(report), confusion, cases_markdown(report)))
    with complete_or_nothing(out) as folder:
        (folder / "evaluation.json").write_text(json.dumps(to_json(report), indent=1))
        (folder / "evaluation.md").write_text(text, encoding="utf-8")
    results.print(figures_markdown(report), markup=False, highlight=False)


def _evaluate(
    system: System, data: Path, weights: Path | None, device: str, tell: OnProgress
) -> Evaluation:
    from engine.data.datasets import find_entries
    from engine.evaluation.evaluate import evaluate as compare_all
    from engine.inference.model import load_model
    from engine.inference.predict import predict

    entries = find_entries(data)
    model = load_model(system, device, weights)

    def pairs() -> Iterator[tuple[Case, Prediction]]:
        for number, entry in enumerate(entries):
            tell("evaluate", number / len(entries))
            case = entry.read()
            yield case, predict(case, model)

    return compare_all(pairs(), num_subtypes=len(system.subtypes))
