"""`islet federate simulate`: sites on this machine train one model together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from engine.archive.federation import SIMULATION_FILE, claim
from engine.archive.run_folder import LOG_FILE, write_json
from engine.cli.console import notes, results
from engine.cli.output import UnusableFolderError, check_output_folder, complete_or_nothing
from engine.cli.progress import with_progress
from engine.errors import IsletError

if TYPE_CHECKING:
    from engine.federated.simulate import Simulation
    from engine.federated.sites import Site
    from engine.progress import OnProgress
    from engine.system import Federation, System

_BYTES = 2_000_000_000  # ours: phantoms, prepared cases and checkpoints of a small simulation
# The settings that Shen et al. found best, under a short name.
_METHODS = {
    "fedavg": "fedavg",
    "fedprox": "fedprox",
    "dtp": "dtp_g1_a0.5_r1",
    "dwa": "dwa_t2_xi2",
}
_CANCELLED = "Cancelled. Finished rounds are kept; give the same command again to go on."


class NotFederatedError(IsletError):
    """A system that no federation can train."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A federation cannot train the system '{name}': it must segment, and have no head "
            "that is fitted afterwards.",
            remedy="Choose another one, e.g. c2fnas.",
        )


def simulate(
    system: Annotated[str, typer.Argument(help="A system, or a federation of the papers.")],
    out: Annotated[Path, typer.Option(help="Folder of the simulation; goes on where it was.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="fedavg, fedprox, dtp, dwa, or a row of the papers; may be repeated."),
    ] = None,
    sites: Annotated[
        Path | None, typer.Option(help="JSON file of sites; three of phantoms without it.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Instead of the system's own.", min=1)] = None,
    local_epochs: Annotated[
        int | None, typer.Option(help="Of every round, instead of the system's own.", min=1)
    ] = None,
    size: Annotated[
        Literal["toy", "small", "full"], typer.Option(help="full is as the source has it.")
    ] = "toy",
    share: Annotated[
        float | None,
        typer.Option(help="Part of every update that leaves a site.", min=0.001, max=1.0),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Send later what was held back, once it has grown.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Compare with every site alone; writes table.md.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Run a federation of SYSTEM on this machine, on three sites of phantoms or on your own."""
    asked: dict[str, Any] = {
        "system": system, "rounds": rounds, "local_epochs": local_epochs, "size": size,
        "share": share, "memory": memory, "seed": seed,
        "sites": None if sites is None else str(sites.absolute()),
    }  # fmt: skip
    # Before any work: a wrong name must not cost an hour of phantoms.
    from engine.federated.sites import make_sites, read_sites

    ways = methods_of(system, method or (list(_METHODS) if table else []), asked)
    members = None if sites is None else read_sites(sites)
    _begin(out, asked)
    claim(out)
    if members is None:
        made = out / "phantoms"
        members = with_progress(
            lambda tell: make_sites(made, size, seed, tell), cancelled=_CANCELLED
        )
    runs = _simulations(ways, members, out, asked, device, alone=table)
    _report(runs, out, writes=table)


def methods_of(name: str, methods: list[str], asked: Mapping[str, Any]) -> dict[str, System]:
    """Return the system as every method trains it, by the method's title."""
    from engine.archive.registered import find_system
    from engine.catalogue.federations import FEDAVG, FEDERATIONS
    from engine.networks.build import SEGMENTATION, STAGED_SUBTYPE

    whole = FEDERATIONS.get(name) if name in FEDERATIONS else find_system(name)
    sized = whole.at(asked["size"])
    if SEGMENTATION not in sized.head_names or STAGED_SUBTYPE in sized.head_names:
        raise NotFederatedError(name)
    own = _federation(sized if sized.federation is not None else FEDAVG.at(asked["size"]))
    given = [FEDERATIONS.get(_METHODS.get(each, each)).at(asked["size"]) for each in methods]
    ways: dict[str, System] = {}
    for rule in given or [replace(sized, federation=own)]:
        theirs = _federation(rule)
        federation = replace(
            own, aggregate=theirs.aggregate, local_objective=theirs.local_objective
        )
        way = name if rule.name == name else f"{name}_{rule.name}"
        ways[rule.title] = replace(sized, name=way, federation=_changed(federation, asked))
    return ways


def _federation(system: System) -> Federation:
    assert system.federation is not None, "only federations come here"
    return system.federation


def _changed(federation: Federation, asked: Mapping[str, Any]) -> Federation:
    given = {
        "rounds": asked["rounds"],
        "local_epochs": asked["local_epochs"],
        "shared_fraction": asked["share"],
    }
    return replace(federation, **{key: value for key, value in given.items() if value is not None})


def _begin(out: Path, asked: Mapping[str, Any]) -> None:
    """Make the folder, or make sure that it is of the same simulation.

    Raises:
        UnusableFolderError: If it holds anything else.
    """
    path = out / SIMULATION_FILE
    if out.is_dir() and {each.name for each in out.iterdir()} == {LOG_FILE}:
        # The window opens the log before the simulation is there.
        write_json(path, asked)
        return
    if not path.exists():
        check_output_folder(out, needed_bytes=_BYTES)
        with complete_or_nothing(out) as folder:
            (folder / SIMULATION_FILE).write_text(json.dumps(asked, indent=2), encoding="utf-8")
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if known != dict(asked):
        raise UnusableFolderError(
            f"The folder {out} holds another simulation.",
            remedy="Name a new folder with --out, or give the very options it was begun with.",
        )


def _simulations(
    ways: Mapping[str, System],
    sites: tuple[Site, ...],
    out: Path,
    asked: Mapping[str, Any],
    device: str,
    *,
    alone: bool,
) -> dict[str, Simulation]:
    """Return what is to be run, by the title of its row: first every site alone, where wanted."""
    from engine.federated.simulate import Simulation
    from engine.system import Part

    def simulation(system: System, folder: str, members: tuple[Site, ...]) -> Simulation:
        federation = replace(_federation(system), sites=tuple(site.name for site in members))
        return Simulation(
            replace(system, federation=federation),
            members,
            out / "runs" / folder,
            out / "stores",
            asked["size"],
            asked["seed"],
            device,
            asked["memory"],
            guests=tuple(site for site in sites if site not in members),
        )

    runs: dict[str, Simulation] = {}
    if alone:
        first = next(iter(ways.values()))
        rule = replace(
            _federation(first),
            aggregate=Part("fedavg"),
            local_objective=Part("plain"),
            shared_fraction=1.0,
        )
        for site in sites:
            name = f"alone_{site.name}"
            runs[f"{site.name} alone"] = simulation(
                replace(first, name=name, federation=rule), name, (site,)
            )
    return runs | {title: simulation(way, way.name, sites) for title, way in ways.items()}


def _report(runs: Mapping[str, Simulation], out: Path, *, writes: bool) -> None:
    from engine.federated import simulate as simulator
    from engine.federated.figure import draw
    from engine.federated.table import Row, to_json, to_markdown

    rows: list[Row] = []
    records: dict[str, tuple[dict[str, Any], ...]] = {}
    for title, simulation in runs.items():
        notes.print(title, markup=False, highlight=False)

        def work(tell: OnProgress, this: Simulation = simulation) -> simulator.Result:
            return simulator.simulate(this, tell)

        result = with_progress(work, cancelled=_CANCELLED)
        rows.append(Row(title, result.scores))
        if writes:
            rows += [
                Row(f"{title}, best weights of {site}", scores)
                for site, scores in result.local_scores.items()
            ]
        records[title] = result.records
    text = to_markdown(rows)
    if writes:
        (out / "table.md").write_text(text, encoding="utf-8")
        (out / "table.json").write_text(json.dumps(to_json(rows), indent=1), encoding="utf-8")
        draw(rows, records, out / "table.png")
    results.print(text, markup=False, highlight=False, soft_wrap=True)
