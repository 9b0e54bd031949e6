"""`islet systems`: what can look for lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from engine.cli.console import notes, results, say_json

if TYPE_CHECKING:
    from engine.system import System


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON on stdout.")] = False,
) -> None:
    """List every system: what it predicts, how large it is, whether its weights are here."""
    from engine.archive.registered import registered_systems
    from engine.catalogue import SYSTEMS

    registered, remarks = registered_systems()
    found = (*SYSTEMS, *registered)
    for remark in remarks:
        notes.print(remark, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        say_json([_describe(system) for system in found])
        return
    table = Table("Name", "Title", "Heads", "Parameters", "Weights")
    for system in found:
        table.add_row(
            system.name,
            escape(system.title),
            ", ".join(system.head_names),
            f"{_num_parameters(system):,}",
            _readiness(system),
        )
    results.print(table)


def _describe(system: System) -> dict[str, Any]:
    from engine.archive.registered import is_registered, weights_of

    localiser = system.localiser
    return {
        "name": system.name,
        "title": system.title,
        "source": system.source,
        "heads": list(system.head_names),
        "parameters": _num_parameters(system),
        "localiser_parameters": 0 if localiser is None else _num_parameters(localiser),
        "sizes": {name: _num_parameters(size) for name, size in system.sizes.items()},
        "weights": "none" if weights_of(system.name) is None else "installed",
        "registered": is_registered(system.name),
    }


def _readiness(system: System) -> str:
    from engine.archive.registered import is_registered, weights_of

    if weights_of(system.name) is None:
        return "train first"
    return "trained here" if is_registered(system.name) else "installed"


def _num_parameters(system: System) -> int:
    """Return the parameters of the system's own network, without those of its localiser."""
    import torch
    from torch.overrides import TorchFunctionMode

    from engine.networks.build import build

    class KeepRanges(TorchFunctionMode):
        # A Swin encoder reads its drop path rates from a range; on meta it has no numbers.
        def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
            place = {"device": "cpu"} if function is torch.linspace else {}
            return function(*args, **{**(kwargs or {}), **place})

    # The meta device gives shapes without memory; the largest systems would take gigabytes.
    with torch.device("meta"), KeepRanges():
        network = build(system)
    return sum(parameter.numel() for parameter in network.parameters())
