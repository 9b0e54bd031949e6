"""`islet federate server | start | stop | status`: the processes of a federation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.archive.federation import (
    FederationFolderError,
    claim,
    is_run,
    is_simulation,
    read_coordinator,
    read_site,
    runs,
    write_site,
)
from engine.archive.federation_status import status_of
from engine.archive.run_folder import write_wish
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


class DataError(IsletError):
    """A data set that a site cannot train on."""


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
    from engine.archive.federation_terms import terms_of_site
    from engine.federated.services import take_part

    site = read_site(folder)
    # Before anything is changed: another process may be training by these settings.
    claim(folder)
    if data is not None:
        site = replace(site, data=str(data.absolute()))
    if annotation:
        site = replace(site, annotation={**site.annotation, **_annotation(annotation)})
    if share_at_most is not None:
        site = replace(site, share_at_most=share_at_most)
    if device is not None:
        site = replace(site, device=device)
    write_site(folder, site)
    for term in terms_of_site(site.share_at_most):
        notes.print(f"- {term}", soft_wrap=True, highlight=False)
    _until_interrupted(lambda: take_part(folder, lambda: _check_data(site.data), _say))


def stop(
    folder: Annotated[Path, typer.Argument(help="Of a coordinator, a site or a run.")],
    as_json: AsJson = False,
) -> None:
    """End what runs in a folder; a run of a federation can be resumed."""
    if is_run(folder):
        was_running = runs(folder)
        write_wish(folder, "stop")
    else:
        from engine.federated.processes import end_process

        # Refuses other folders.
        if not is_simulation(folder):
            status_of(folder)
        was_running = end_process(folder)
    if as_json:
        results.print_json(json.dumps({"was_running": was_running}))
        return
    notes.print("Stopped." if was_running else "Nothing was running there.")


def status(
    folder: Annotated[Path, typer.Argument(help="Of a coordinator, a site or a run.")],
    as_json: AsJson = False,
) -> None:
    """Say what runs in a folder."""
    found = status_of(folder)
    if as_json:
        results.print_json(json.dumps(found))
        return
    for line in _lines(found):
        results.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["kind"] == "run":
        yield f"run {found['run']}: {found['state']}, {found['rounds_done']} rounds done"
    else:
        yield f"{found.get('name', 'server')}: {found['state']}"
    if found["message"]:
        yield f"{found['message']} {found['remedy']}"
    for each in found.get("sites", ()):
        state = "connected" if each["is_connected"] else "not connected"
        yield f"site {each['name']}: {'revoked' if each['is_revoked'] else state}"
    for each in found.get("runs", ()):
        yield from _lines(each)
    for what, event in found.get("last", {}).items():
        if "round" in event:
            yield f"{what}: round {event['round']} of run {event['run']}"


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


def _check_data(data: str) -> None:
    """Check a data set in a process of its own: what reads images would stay in memory for weeks.

    Raises:
        DataError: If it cannot be trained on.
    """
    if not data:
        raise FederationFolderError(
            "This site has no data set yet.", remedy="Name one with --data FOLDER."
        )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            fault = pool.submit(_fault_of, Path(data)).result()
        except BrokenProcessPool as error:
            raise DataError(
                "The check of the data set was ended, e.g. by a system without enough memory.",
                remedy="Close other programs, and start again.",
            ) from error
    if fault is not None:
        message, remedy = fault
        raise DataError(message, remedy=remedy)


def _fault_of(data: Path) -> tuple[str, str] | None:
    from engine.cli.progress import with_progress
    from engine.data.dataset_check import check_dataset, whole_entries

    try:
        with_progress(lambda tell: whole_entries(check_dataset(data, tell)))
    except IsletError as error:
        return error.message, error.remedy
    return None


def _say(state: str) -> None:
    notes.print(state.capitalize() + ".")


def _until_interrupted(work: Any) -> None:
    try:
        work()
    except KeyboardInterrupt:
        raise typer.Exit(CANCELLED_CODE) from None
