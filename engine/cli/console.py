"""What the command line says, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console

from engine.errors import IsletError

ERROR_CODE = 2
CANCELLED_CODE = 130

results = Console()
notes = Console(stderr=True)


def say_error(error: IsletError) -> None:
    """Tell the user what happened, and what to do about it."""
    notes.print(error.message, style="bold red", markup=False, highlight=False, soft_wrap=True)
    notes.print(error.remedy, markup=False, highlight=False, soft_wrap=True)


def say_unused(names: Sequence[str]) -> None:
    """Tell which of the given parameters, by name, a run that goes on does not take."""
    if names:
        given = ("SYSTEM" if name == "system" else f"--{name.replace('_', '-')}" for name in names)
        notes.print(
            f"The run goes on as it was begun; not used: {', '.join(given)}.", soft_wrap=True
        )


def say_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write `value` to stdout for another program to read."""
    typer.echo(json.dumps(value, indent=2))
