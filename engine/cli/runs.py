"""`islet runs`: list, show, compare, delete, pause and stop trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from engine.cli.console import notes, results, say_json

if TYPE_CHECKING:
    from engine.archive.runs import BrokenRun, ComparedRun, RunDetails
    from engine.run import EpochRecord, TrainingRun

runs = typer.Typer(help="List, show, compare and delete trainings.", invoke_without_command=True)

_Run = Annotated[str, typer.Argument(help="Name or folder of the run.")]
_Runs = Annotated[list[str], typer.Argument(help="Names or folders of the runs.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Say it as JSON on stdout.")]
_UNKNOWN = "–"


@runs.callback()
def _list(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option(help="Where the runs lie; else in your data folder.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """List every training run, newest first."""
    if context.invoked_subcommand is not None:
        return
    from engine.archive.runs import BrokenRun, find_runs, runs_folder

    found = find_runs(folder)
    if as_json:
        say_json([_broken(run) if isinstance(run, BrokenRun) else _row(run) for run in found])
        return
    if not found:
        notes.print(f"There are no runs in {folder or runs_folder()}.", soft_wrap=True)
        return
    table = Table("Run", "System", "Size", "State", "Epoch", "Best", "Started")
    for run in found:
        is_broken = isinstance(run, BrokenRun)
        table.add_row(*(_broken_cells(run) if is_broken else _cells(run)))
    results.print(table)


@runs.command()
def show(run: _Run, as_json: _AsJson = False) -> None:
    """Show what a run is doing and what it gave."""
    from engine.archive.runs import find_run_folder, read_details

    details = read_details(find_run_folder(run))
    if as_json:
        say_json(_details(details))
        return
    _show(details)


@runs.command()
def compare(runs: _Runs, as_json: _AsJson = False) -> None:
    """Put runs side by side, best score first."""
    from engine.archive.runs import compare_runs, find_run_folder, read_run

    rows = compare_runs(read_run(find_run_folder(name)) for name in runs)
    if as_json:
        say_json([_compared(row) for row in rows])
        return
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    table = Table(
        "Run", "System", "Size", "Fold", "Epochs", "Best", "Score", *names, "Hours", "Parameters"
    )
    for row in rows:
        table.add_row(
            escape(row.run_id),
            row.system,
            row.size,
            _UNKNOWN if row.fold is None else str(row.fold),
            str(row.num_epochs),
            _text(row.best_epoch),
            _text(row.best_score),
            *(_text(row.scores.get(name)) for name in names),
            f"{row.elapsed_s / 3600:.2f}",
            _UNKNOWN if row.num_parameters is None else f"{row.num_parameters:,}",
        )
    results.print(table)


@runs.command()
def delete(
    runs: _Runs,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete runs with everything in them; systems registered from them stay."""
    from engine.archive.runs import delete_run, find_run_folder

    folders = [find_run_folder(name) for name in runs]
    names = ", ".join(folder.name for folder in folders)
    if not yes and not typer.confirm(f"Delete {names} for good?", err=True):
        raise typer.Exit
    for folder in folders:
        delete_run(folder)
        notes.print(f"Deleted {folder.name}.", markup=False, highlight=False)


@runs.command()
def pause(run: _Run) -> None:
    """Let a run wait after its current step; `islet runs resume` lets it go on."""
    from engine.archive.runs import find_run_folder, request

    request(find_run_folder(run), "pause")
    notes.print("The run waits after its current step.")


@runs.command()
def resume(run: _Run) -> None:
    """Let a paused run go on; one that was stopped goes on by `islet train --resume`."""
    from engine.archive.runs import find_run_folder, request

    request(find_run_folder(run), "run")
    notes.print("The run goes on.")


@runs.command()
def stop(run: _Run) -> None:
    """Stop a run after its current step; it writes a checkpoint first."""
    from engine.archive.runs import find_run_folder, request

    request(find_run_folder(run), "stop")
    notes.print("The run writes a checkpoint and stops.")


def _broken_cells(run: BrokenRun) -> Sequence[str]:
    return (escape(run.run_id), _UNKNOWN, _UNKNOWN, "damaged", _UNKNOWN, _UNKNOWN, _UNKNOWN)


def _cells(run: TrainingRun) -> Sequence[str]:
    row = _row(run)
    started = datetime.fromisoformat(row["started"]).astimezone()
    return (
        escape(row["run_id"]),
        row["system"],
        row["size"],
        row["state"],
        f"{row['epoch']}/{row['epochs']}",
        _text(row["best_score"]),
        f"{started:%Y-%m-%d %H:%M}",
    )


def _row(run: TrainingRun) -> dict[str, Any]:
    from engine.archive.runs import compare_runs

    (row,) = compare_runs([run])
    return {
        "run_id": run.run_id,
        "system": row.system,
        "size": row.size,
        "fold": row.fold,
        "dataset": run.plan.dataset,
        "state": run.state.value,
        "epoch": row.num_epochs,
        "epochs": run.plan.system.training.epochs,
        "best_epoch": row.best_epoch,
        "best_score": row.best_score,
        "started": run.started,
    }


def _broken(run: BrokenRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "state": "damaged", "error": run.error.message}


def _compared(row: ComparedRun) -> dict[str, Any]:
    plain = {"scores": dict(row.scores), "losses": dict(row.losses), "state": row.state.value}
    return {name: plain.get(name, getattr(row, name)) for name in row.__dataclass_fields__}


def _details(details: RunDetails) -> dict[str, Any]:
    return {
        **_row(details.run),
        "message": details.message,
        "remedy": details.remedy,
        "stage": details.stage,
        "remaining_s": details.remaining_s,
        "dry_run": None if details.dry_run is None else asdict(details.dry_run),
        "alarms": list(details.alarms),
        "has_weights": details.has_weights,
        "history": [_epoch(record) for record in details.run.history],
    }


def _epoch(record: EpochRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }


def _show(details: RunDetails) -> None:
    row = _row(details.run)
    for label, value in _facts(details, row):
        results.print(f"{label:<12}{value}", markup=False, highlight=False, soft_wrap=True)
    for sentence in (details.message, details.remedy, *details.alarms):
        if sentence:
            results.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if not details.run.history:
        return
    losses = list(details.run.history[-1].losses)
    scores = list(dict.fromkeys(name for record in details.run.history for name in record.scores))
    table = Table("Epoch", *(f"loss {name}" for name in losses), *scores, "Samples/s", "Rate")
    for record in details.run.history:
        table.add_row(
            str(record.epoch),
            *(_text(record.losses.get(name)) for name in losses),
            *(_text(record.scores.get(name)) for name in scores),
            f"{record.samples_per_s:.2f}",
            f"{record.learning_rate:.2g}",
        )
    results.print(table)


def _facts(details: RunDetails, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    step = details.last_step
    facts = [
        ("Run", row["run_id"]),
        ("System", f"{row['system']}, {row['size']}"),
        ("Data set", row["dataset"]),
        ("State", row["state"]),
        ("Epoch", f"{row['epoch']} of {row['epochs']} finished"),
        ("Best", _text(row["best_score"])),
    ]
    if step is not None:
        facts.append(("Step", f"{step.step} of {step.steps} in epoch {step.epoch} of {step.part}"))
    if details.remaining_s is not None and row["state"] == "running":
        facts.append(("Remaining", f"{details.remaining_s / 60:.0f} min"))
    if details.dry_run is not None:
        facts.append(("Dry run", details.dry_run.text))
    return facts


def _text(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return str(value) if isinstance(value, int) else f"{value:.3f}"
