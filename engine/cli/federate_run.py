"""`islet federate run`: train a system with the sites of a federation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from engine.archive.federation import (
    RESULT_FILE,
    RUNS_FOLDER,
    TABLE_FILE,
    FederationFolderError,
    is_run,
    is_run_name,
    read_coordinator,
)
from engine.archive.federation_status import status_of
from engine.archive.federation_terms import needs_text
from engine.archive.run_events import EventTail
from engine.cli.console import CANCELLED_CODE, notes, results, say_unused
from engine.cli.federate_simulate import methods_of
from engine.errors import CancelledError, IsletError

if TYPE_CHECKING:
    from engine.federated.run_keeper import Terms
    from engine.federated.site_order import SiteOrder


class RunNameError(IsletError):
    """A name that no run can have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' cannot be the name of a run.",
            remedy="Use letters, digits, - and _.",
        )


class NoSystemError(IsletError):
    """A new run without anything to train."""

    def __init__(self) -> None:
        super().__init__(
            "It is not said which system the sites should train.",
            remedy="Name it after the folder, e.g. c2fnas; only a resumed run knows its own.",
        )


# What a run that goes on may be told anew.
_MAY_CHANGE = frozenset({"min_sites", "grace", "round_timeout", "wait"})
_NOT_OF_THE_RUN = frozenset({"folder", "name", "resume", "dry_run", "as_json"})


def run(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The coordinator's folder.")],
    system: Annotated[
        str | None,
        typer.Argument(
            help="A system, or a federation of the papers; a resumed run knows its own."
        ),
    ] = None,
    *,
    name: Annotated[str, typer.Option("--run", help="Name of the run.")],
    method: Annotated[str, typer.Option(help="fedavg, fedprox, dtp, dwa, or a row.")] = "fedavg",
    rounds: Annotated[int | None, typer.Option(help="Instead of the system's.", min=1)] = None,
    local_epochs: Annotated[
        int | None, typer.Option(help="Of every round, instead of the system's.", min=1)
    ] = None,
    size: Annotated[
        Literal["toy", "small", "full"], typer.Option(help="full is as the source has it.")
    ] = "full",
    share: Annotated[
        float | None, typer.Option(help="Part of every update that leaves.", min=0.001, max=1.0)
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Send later what was held back, once it has grown.")
    ] = False,
    min_sites: Annotated[
        int | None, typer.Option(help="Without which no round ends; 2 at first.", min=1)
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(help="Seconds others are waited for once so many answered; 600.", min=0),
    ] = None,
    round_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds a round takes at most; 0, as at first, is for ever.", min=0),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds that missing sites are waited for.", min=0)
    ] = 180.0,
    seed: Annotated[int, typer.Option(help="Of every random choice.", min=0)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Train SYSTEM with the connected sites, and see the run to its end.

    With --resume, it goes on as it was begun; how many sites it needs and how long it waits may be
    told anew.
    """
    from engine.federated.run_keeper import Terms, read_order, write_order

    if not is_run_name(name):
        raise RunNameError(name)
    read_coordinator(folder)
    place = folder / RUNS_FOLDER / name
    if is_run(place) and not (resume or dry_run):
        raise FederationFolderError(
            f"There is a run called '{name}' already.",
            remedy="Go on with it by --resume, or choose another name.",
        )
    if is_run(place) and resume:
        order, terms = read_order(place)
        _tell_unused(context)
    else:
        asked = {"rounds": rounds, "local_epochs": local_epochs, "size": size, "share": share}
        order, terms = _order(name, system, method, asked, seed=seed, memory=memory), Terms()
    told = {"min_sites": min_sites, "grace_s": grace, "round_timeout_s": round_timeout}
    terms = replace(terms, **{key: value for key, value in told.items() if value is not None})
    if dry_run:
        _say(_needs(folder, order, terms), as_json=as_json)
        return
    write_order(place, order, terms)
    _supervise(folder, name, wait)
    found = json.loads((place / RESULT_FILE).read_bytes())
    if as_json:
        results.print_json(json.dumps(found))
        return
    results.print((place / TABLE_FILE).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
    notes.print(f"The aggregate of round {found['best_round']} validated best.")


def _order(
    name: str, system: str | None, method: str, asked: Mapping[str, Any], *, seed: int, memory: bool
) -> SiteOrder:
    from engine.federated.site_order import SiteOrder

    if system is None:
        raise NoSystemError
    ((title, whole),) = methods_of(system, [method], asked).items()
    alone = replace(whole, title=title, localiser=None, sizes={})
    return SiteOrder(name, alone, asked["size"], seed, memory)


def _tell_unused(context: typer.Context) -> None:
    """Say which options were given that a run cannot change any more."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    say_unused(
        [
            name
            for name, source in sources.items()
            if name not in _MAY_CHANGE | _NOT_OF_THE_RUN
            and source is not None
            and source.name == "COMMANDLINE"
        ]
    )


def _needs(folder: Path, order: SiteOrder, terms: Terms) -> dict[str, Any]:
    """Return what a run would take: sites, bytes for each and round, and the server's memory."""
    from engine.federated.local import tensors_of
    from engine.federated.members import first_network
    from engine.federated.sharing import dense_bytes, encode, share

    model = tensors_of(first_network(order.system, size=order.size, seed=order.seed))
    federation = order.system.federation
    assert federation is not None, "it is a federation's"
    sent = len(encode(share(model, federation.shared_fraction)))
    welcome = [site for site in status_of(folder)["sites"] if not site["is_revoked"]]
    return {
        "system": order.system.name,
        "rounds": federation.rounds,
        "local_epochs": federation.local_epochs,
        "numbers": sum(tensor.numel() for tensor in model.values()),
        "bytes_to_site": len(encode(model)),
        "bytes_from_site": sent,
        "dense_bytes": dense_bytes(model),
        "min_sites": terms.min_sites,
        "connected_sites": sorted(site["name"] for site in welcome if site["is_connected"]),
        "missing_sites": sorted(site["name"] for site in welcome if not site["is_connected"]),
        # The model, the best one, and the next one; an update is decoded when its turn comes.
        "server_bytes": 4 * dense_bytes(model) + sent,
    }


def _say(needs: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        results.print_json(json.dumps(needs))
        return
    results.print(needs_text(needs), highlight=False, markup=False, soft_wrap=True)


def _supervise(folder: Path, name: str, wait: float) -> None:
    from engine.federated.supervise import Run, supervise

    place = folder / RUNS_FOLDER / name
    with _Bars(place) as bars:
        try:
            supervise(Run(folder, name, wait, bars.look))
        except (CancelledError, KeyboardInterrupt):
            _note_stop(place)
            raise typer.Exit(CANCELLED_CODE) from None
    notes.print("The run is finished.")


def _note_stop(place: Path) -> None:
    from engine.archive.federation import tell

    tell(place, "alarm", text="The run was stopped; it can be resumed.")
    notes.print("Stopped. Finished rounds are kept; --resume goes on.")


class _Bars:
    """Shows the rounds, and what happens to the sites, from the run's events."""

    def __init__(self, place: Path) -> None:
        self._tail = EventTail(place)
        self._tail.read()
        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=notes,
        )
        self._task = self._bars.add_task("Waiting for sites", total=None)

    def __enter__(self) -> _Bars:
        self._bars.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._bars.__exit__(*exc)

    def look(self) -> None:
        """Show what is new."""
        for event in self._tail.read():
            if event["event"] == "preparing":
                self._bars.update(self._task, description="Sites prepare")
            elif event["event"] == "begun":
                total, done = event["rounds"], event["round"] - 1
                text = f"Round {event['round']} of {total}"
                self._bars.update(self._task, description=text, total=total, completed=done)
            elif event["event"] == "round":
                self._bars.update(self._task, completed=event["record"]["round"])
            elif event["event"] == "missing":
                self._note(
                    f"Round {event['round']}: {event['site']} is missing. {event['message']}"
                )
            elif event["event"] == "returned":
                self._note(f"{event['site']} is back, and takes part from the next round on.")
            elif event["event"] == "alarm":
                self._note(event["text"])

    def _note(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
