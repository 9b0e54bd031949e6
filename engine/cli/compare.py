"""`islet compare`: evaluations of several systems side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import results
from engine.errors import IsletError

if TYPE_CHECKING:
    from engine.evaluation.evaluate import Evaluation

_FILE = "evaluation.json"


def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Folders that 'islet evaluate' wrote, on the same cases.")
    ],
) -> None:
    """Print one row for each evaluation, with 95 % intervals, as a Markdown table."""
    from engine.evaluation.side_by_side import side_by_side_markdown

    evaluations = [_read(folder) for folder in reports]
    names = _names([evaluation.system for evaluation in evaluations], reports)
    table = side_by_side_markdown(evaluations, names=names)
    results.print(table, markup=False, highlight=False, soft_wrap=True)


def _names(systems: list[str], reports: list[Path]) -> list[str]:
    """Return the systems' names; where two are the same, with the folders of their reports."""
    parts = [folder.absolute().parts for folder in reports]
    num_parts = 1
    # Reports of several runs may all lie in a folder called "report".
    while num_parts < max(map(len, parts)) and len({each[-num_parts:] for each in parts}) < len(
        set(parts)
    ):
        num_parts += 1
    return [
        system if systems.count(system) == 1 else f"{system} ({'/'.join(each[-num_parts:])})"
        for system, each in zip(systems, parts, strict=True)
    ]


def _read(folder: Path) -> Evaluation:
    from engine.evaluation.rows_json import evaluation_from_json

    try:
        value = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IsletError(
            f"There is no evaluation in the folder '{folder.name}'.",
            remedy="Name a folder that 'islet evaluate' wrote with --out.",
        ) from error
    return evaluation_from_json(value)
