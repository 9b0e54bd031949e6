"""`islet federate server | start | stop | status`: the processes of a federation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.archive.federation import (
    ROUNDS_FILE,
    RUNS_FOLDER,
    FederationFolderError,
    is_coordinator,
    is_run,
    is_site,
    read_coordinator,
    read_lines,
    read_site,
    runs,
    write_site,
)
from engine.archive.run_folder import RUN_FILE, write_wish
from engine.cli.console import CANCELLED_CODE, notes, results
from engine.cli.federate_kits import AsJson
from engine.errors import IsletError


class AnnotationError(IsletError):
    """Words about annotation that are not understood."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"'{said}' does not say what was annotated.",
            remedy="Write e.g. lesion=unlabelled: a structure, and annotated, absent or"
            " unlabelled.",
        )


def server(folder: Annotated[Path, typer.Argument(help="The coordinator's folder.")]) -> None:
    """Run the federation's server until Ctrl+C."""
    from engine.federated.services import serve

    read_coordinator(folder)
    _until_interrupted(lambda: serve(folder, _say))


def start(
    folder: Annotated[Path, typer.Argument(help="The site's folder.")],
    data: Annotated[Path | None, typer.Option(help="Data set; remembered.")] = None,
    annotation: Annotated[
        list[str] | None,
        typer.Option(help="STRUCTURE=annotated|absent|unlabelled; may be repeated; remembered."),
    ] = None,
    share_at_most: Annotated[
        float | None,
        typer.Option(help="Largest part of an update that may leave.", min=0.001, max=1.0),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda:N; remembered.")] = None,
) -> None:
    """Take part in a federation until Ctrl+C."""
    from engine.federated.services import take_part

    site = read_site(folder)
    if data is not None:
        site = replace(site, data=str(data.absolute()))
    if annotation:
        site = replace(site, annotation={**site.annotation, **_annotation(annotation)})
    if share_at_most is not None:
        site = replace(site, share_at_most=share_at_most)
    if device is not None:
        site = replace(site, device=device)
    if not site.data:
        raise FederationFolderError(
            "This site has no data set yet.", remedy="Name one with --data FOLDER."
        )
    _check_data(Path(site.data))
    write_site(folder, site)
    _until_interrupted(lambda: take_part(folder, _say))


def stop(
    folder: Annotated[Path, typer.Argument(help="Of a coordinator, a site or a run.")],
    as_json: AsJson = False,
) -> None:
    """End what runs in a folder; a run of a federation can be resumed."""
    if is_run(folder):
        was_running = runs(folder)
        write_wish(folder, "stop")
    else:
        from engine.federated.services import stop as end

        _known(folder)
        was_running = end(folder)
    if as_json:
        results.print_json(json.dumps({"was_running": was_running}))
        return
    notes.print("Stopped." if was_running else "Nothing was running there.")


def status(
    folder: Annotated[Path, typer.Argument(help="Of a coordinator, a site or a run.")],
    as_json: AsJson = False,
) -> None:
    """Say what runs in a folder."""
    found: dict[str, Any] = {"is_running": runs(folder)}
    if is_run(folder):
        found |= _run_status(folder)
    else:
        found |= {"kind": _known(folder), "state": _last_state(folder)}
        places = sorted((folder / RUNS_FOLDER).glob("*")) if found["kind"] == "coordinator" else []
        found["runs"] = [_run_status(place) for place in places if is_run(place)]
    if as_json:
        results.print_json(json.dumps(found))
        return
    for name, value in found.items():
        if name != "runs":
            results.print(f"{name.replace('_', ' ')}: {value}", highlight=False)
    for each in found.get("runs", ()):
        results.print(f"run {each['run']}: {each['state']}, round {each['rounds_done']}")


def _run_status(place: Path) -> dict[str, Any]:
    try:
        said = json.loads((place / RUN_FILE).read_bytes())
    except (OSError, ValueError):
        said = {}
    state = str(said.get("state", "queued"))
    if state == "running" and not runs(place):
        state = "interrupted"
    return {
        "kind": "run",
        "run": place.name,
        "state": state,
        "message": said.get("message", ""),
        "remedy": said.get("remedy", ""),
        "rounds_done": len(read_lines(place / ROUNDS_FILE)),
    }


def _last_state(folder: Path) -> str:
    states = [
        str(event.get("state"))
        for event in read_lines(folder / "events.jsonl")
        if event.get("event") == "state"
    ]
    if not runs(folder):
        return "stopped" if not states or states[-1] != "failed" else "failed"
    return states[-1] if states else "starting"


def _known(folder: Path) -> str:
    if is_coordinator(folder):
        return "coordinator"
    if is_site(folder):
        return "site"
    raise FederationFolderError(
        "This is no folder of a federation.",
        remedy="Name one made by 'islet federate init' or 'request', or a run in 'runs'.",
    )


def _annotation(given: list[str]) -> dict[str, str]:
    from engine.data.datasets import STATES
    from engine.data.label_names import STRUCTURES

    found: dict[str, str] = {}
    for words in given:
        structure, _, state = words.partition("=")
        if structure not in STRUCTURES or state not in STATES:
            raise AnnotationError(words)
        found[structure] = state
    return found


def _check_data(data: Path) -> None:
    from engine.cli.progress import with_progress
    from engine.data.dataset_check import check_dataset, whole_entries

    with_progress(lambda tell: whole_entries(check_dataset(data, tell)))


def _say(state: str) -> None:
    notes.print(state.capitalize() + ".")


def _until_interrupted(work: Any) -> None:
    try:
        work()
    except KeyboardInterrupt:
        raise typer.Exit(CANCELLED_CODE) from None
