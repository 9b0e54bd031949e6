"""`islet systems`: what can look for lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from engine.cli.console import results, say_json

if TYPE_CHECKING:
    from engine.system import System


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON on stdout.")] = False,
) -> None:
    """List every system: what it predicts, how large it is, whether its weights are here."""
    from engine.catalogue import SYSTEMS

    rows = [_describe(system) for system in SYSTEMS]
    if as_json:
        say_json(rows)
        return
    table = Table("Name", "Title", "Heads", "Parameters", "Weights", "Source")
    for row in rows:
        table.add_row(
            row["name"],
            row["title"],
            ", ".join(row["heads"]),
            f"{row['parameters']:,}",
            row["weights"],
            row["source"],
        )
    results.print(table)


def _describe(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "title": system.title,
        "source": system.source,
        "heads": [head.name for head in system.heads],
        "parameters": _num_parameters(system),
        "weights": _weights(system),
    }


def _weights(system: System) -> str:
    from engine.inference.model import weights_path

    return "installed" if weights_path(system).exists() else "none"


def _num_parameters(system: System) -> int:
    import torch

    from engine.networks.build import build

    # The meta device gives shapes without memory; the largest systems would take gigabytes.
    with torch.device("meta"):
        network = build(system)
    own = sum(parameter.numel() for parameter in network.parameters())
    return own if system.localiser is None else own + _num_parameters(system.localiser)
