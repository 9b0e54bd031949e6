"""`islet check`: list what is wrong with a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from engine.cli.console import ERROR_CODE, notes, results, say_json
from engine.cli.progress import with_progress

if TYPE_CHECKING:
    from engine.data.dataset_check import DatasetReport, Problem


def check(
    data: Annotated[Path, typer.Argument(help="Data set: nnU-Net raw or Decathlon layout.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Say the problems as JSON on stdout.")
    ] = False,
) -> None:
    """Read every file of a data set and list what is wrong; exit code 2 if cases are broken."""
    from engine.data.dataset_check import check_dataset

    report = with_progress(lambda tell: check_dataset(data, tell))
    if as_json:
        say_json(report.to_json())
    else:
        if report.problems:
            results.print(problem_table(report.problems))
        say_summary(report)
    if report.fatal:
        raise typer.Exit(ERROR_CODE)


def say_summary(report: DatasetReport) -> None:
    """Say how many cases of what kind a data set has."""
    notes.print(report.summary, highlight=False, soft_wrap=True)


def problem_table(problems: tuple[Problem, ...]) -> Table:
    """Return one row for each problem."""
    table = Table("Case", "Problem", "What is wrong", "")
    for problem in problems:
        table.add_row(
            escape(problem.case_id) or "(all)",
            problem.kind,
            escape(problem.message),
            "[red]broken[/red]" if problem.is_fatal else "note",
        )
    return table
