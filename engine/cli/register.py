"""`islet register`, `islet unregister`: make a trained run a system that analyses, and undo it."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.console import notes


def register(
    run: Annotated[str, typer.Argument(help="Name or folder of the run; see 'islet runs'.")],
    name: Annotated[
        str | None, typer.Option(help="What the system shall be called; else as the run.")
    ] = None,
) -> None:
    """Make RUN a system that `islet predict` and the viewer can choose."""
    from engine.archive.registered import register as keep
    from engine.archive.runs import find_run_folder

    system = keep(find_run_folder(run), name)
    notes.print(
        f"Registered as '{system.name}'; choose it in the viewer or with --system {system.name}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def unregister(
    name: Annotated[str, typer.Argument(help="Name of the registered system.")],
) -> None:
    """Remove a registered system; the run it came from stays."""
    from engine.archive.registered import unregister as remove

    remove(name)
    notes.print(f"Removed '{name}'.", markup=False, highlight=False)
