"""`islet crossvalidate`: train a system once per fold, and judge it on cases it never saw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.cli.console import CANCELLED_CODE, notes, results
from engine.cli.evaluate import measure
from engine.cli.evaluation_report import (
    JSON_FILE,
    REPORT_BYTES,
    Report,
    report_from_json,
    write_report,
)
from engine.cli.evaluation_target import NUM_FOLDS, find_target
from engine.cli.output import UnusableFolderError, check_output_folder, complete_or_nothing
from engine.cli.progress import with_progress
from engine.errors import CancelledError, IsletError

_ORDER_FILE = "crossvalidation.json"
# ours: a run of the largest network with its checkpoint, optimiser and weights.
_FOLD_BYTES = 2_000_000_000


class FoldTrainingError(IsletError):
    """The training of one fold ended without weights."""

    def __init__(self, fold: int) -> None:
        super().__init__(
            f"The training of fold {fold} did not finish.",
            remedy="Put right what it said above, and give the same command again: what is done "
            "is kept.",
        )


def crossvalidate(
    system: Annotated[str, typer.Argument(help="Name of the system; see 'islet systems'.")],
    data: Annotated[Path, typer.Option(help="Data set with reference labels.")],
    out: Annotated[Path, typer.Option(help="Folder for runs and reports; goes on where it was.")],
    folds: Annotated[
        int, typer.Option(help="How many of the five folds.", min=1, max=NUM_FOLDS)
    ] = NUM_FOLDS,
    size: Annotated[
        Literal["toy", "small", "full"], typer.Option(help="full is as the source has it.")
    ] = "full",
    epochs: Annotated[
        int | None, typer.Option(help="Instead of the system's own number.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes that share every batch.", min=1)] = 1,
    store: Annotated[
        Path | None, typer.Option(help="Folder of prepared cases; see 'islet prepare'.")
    ] = None,
) -> None:
    """Train SYSTEM on every fold of a data set, and pool what it says of the cases held back.

    Each run lies in fold-K of the folder, its report in report-K, and the report on all cases,
    each predicted by the run that never saw it, in report. Given again, the command goes on
    where it was interrupted.
    """
    from engine.evaluation.table import figures_markdown

    order: dict[str, Any] = {
        "system": system, "data": str(data.absolute()), "size": size, "epochs": epochs,
        "seed": seed,
    }  # fmt: skip
    _begin(out, order, folds)
    ways = {"device": device, "devices": devices, "store": store}
    reports = [_fold(out, fold, {**order, **ways}) for fold in range(folds)]
    pooled = _pool(reports)
    # Made anew every time: more folds may have come.
    _remove_report(out / "report")
    with complete_or_nothing(out / "report") as folder:
        write_report(pooled, folder)
    results.print(figures_markdown(pooled.evaluation), markup=False, highlight=False)


def _begin(out: Path, order: Mapping[str, Any], folds: int) -> None:
    """Make the folder, or make sure that it is of the same cross-validation.

    Raises:
        UnusableFolderError: If it holds anything else.
    """
    path = out / _ORDER_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if known is None:
        check_output_folder(out, needed_bytes=folds * _FOLD_BYTES)
        with complete_or_nothing(out) as folder:
            (folder / _ORDER_FILE).write_text(json.dumps(order, indent=2), encoding="utf-8")
    elif known != dict(order):
        raise UnusableFolderError(
            f"The folder {out} holds another cross-validation.",
            remedy="Name a new folder with --out, or give the very options it was begun with.",
        )


def _fold(out: Path, fold: int, order: Mapping[str, Any]) -> Report:
    done = out / f"report-{fold}" / JSON_FILE
    if done.is_file():
        notes.print(f"Fold {fold} is done.")
        return report_from_json(json.loads(done.read_text(encoding="utf-8")))
    run = out / f"fold-{fold}"
    _train(run, fold, order)
    target = find_target(str(run), None)
    data = Path(order["data"])
    report = with_progress(
        lambda tell: measure(target, data, fold, "validation", order["device"], tell)
    )
    check_output_folder(done.parent, needed_bytes=REPORT_BYTES)
    with complete_or_nothing(done.parent) as folder:
        write_report(report, folder)
    return report


def _train(run: Path, fold: int, order: Mapping[str, Any]) -> None:
    """Train one fold in a process of its own, unless it is trained already."""
    from engine.archive.run_folder import RUN_FILE
    from engine.archive.runs import read_run
    from engine.run import RunState

    is_begun = (run / RUN_FILE).is_file()
    if is_begun and read_run(run).state is RunState.FINISHED:
        return
    notes.print(f"Training fold {fold}.")
    code = _run_to_its_end(command(run, fold, order, resume=is_begun))
    if code == CANCELLED_CODE:
        raise CancelledError
    if code != 0:
        raise FoldTrainingError(fold)


def command(run: Path, fold: int, order: Mapping[str, Any], *, resume: bool) -> list[str]:
    """Return the command line that trains one fold.

    Args:
        run: Folder of the run.
        fold: Held back for validation.
        order: What `islet crossvalidate` was asked for.
        resume: Whether the run has begun.
    """
    given = {
        "--data": order["data"], "--run": run, "--fold": fold, "--size": order["size"],
        "--epochs": order["epochs"], "--seed": order["seed"], "--device": order["device"],
        "--devices": order["devices"], "--store": order["store"],
    }  # fmt: skip
    options = [(name, str(value)) for name, value in given.items() if value is not None]
    words = [word for option in options for word in option]
    program = [sys.executable, "-m", "engine.cli", "train", order["system"]]
    return [*program, *words, *(["--resume"] if resume else [])]


def _run_to_its_end(words: list[str]) -> int:
    process = subprocess.Popen(words)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The training has heard it too, and writes its checkpoint before it leaves.
            continue


def _pool(reports: list[Report]) -> Report:
    from engine.evaluation.evaluate import pool

    folds = tuple(report.evaluation for report in reports)
    remarks = tuple(
        f"In fold {fold}: {remark}"
        for fold, report in enumerate(reports)
        for remark in report.remarks[1:]
    )
    said = (
        f"{len(folds)} of {NUM_FOLDS} folds; each case was predicted by the run that held it back."
    )
    return replace(reports[0], evaluation=pool(folds), folds=folds, remarks=(said, *remarks))


def _remove_report(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
