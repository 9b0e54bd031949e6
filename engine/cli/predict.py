"""`islet predict`: look for lesions in one case, and write what was found."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.case import Case
from engine.cli.console import notes, results, say_json
from engine.cli.output import check_output_folder, complete_or_nothing
from engine.cli.progress import with_progress
from engine.finding import Prediction
from engine.progress import OnProgress
from engine.report.findings_table import print_findings

if TYPE_CHECKING:
    from engine.system import System

_RESULTS_BYTES = 50_000_000  # ours: a compressed label map of 1000 slices stays below 20 MB


def predict(
    path: Annotated[Path, typer.Argument(help="A DICOM folder or a NIfTI, NRRD or MHA file.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; new or empty.")],
    system: Annotated[str, typer.Option(help="Which system looks.")] = "starter",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Say the findings as JSON on stdout.")
    ] = False,
) -> None:
    """Look for lesions in one case; write labels.nii.gz, findings.json and run.json."""
    check_output_folder(out, needed_bytes=_RESULTS_BYTES)
    from engine.archive.registered import find_system

    chosen = find_system(system)
    case, prediction = with_progress(lambda report: _look(path, chosen, device, report))
    findings = _write(out, case, prediction)
    if as_json:
        say_json(findings)
    else:
        print_findings(prediction, results)
        notes.print(f"Wrote labels.nii.gz, findings.json and run.json to {out}.", soft_wrap=True)


def _look(
    path: Path, system: System, device: str, on_progress: OnProgress
) -> tuple[Case, Prediction]:
    from engine.data.source import best_source, find_sources, read_case
    from engine.inference.predict import predict as run

    case = read_case(best_source(find_sources(path)), on_progress)
    return case, run(case, system, device=device, on_progress=on_progress)


def _write(out: Path, case: Case, prediction: Prediction) -> dict[str, Any]:
    from engine.data.images import write_labels
    from engine.interop.findings_json import prediction_to_json, run_to_json

    findings = prediction_to_json(prediction, case)
    with complete_or_nothing(out) as folder:
        write_labels(prediction.labels, folder / "labels.nii.gz")
        _write_json(folder / "findings.json", findings)
        _write_json(folder / "run.json", {**run_to_json(prediction), "islet": version("islet")})
    return findings


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
