"""What goes on in a folder of a federation, as its events and files tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    ROUNDS_FILE,
    RUNS_FOLDER,
    FederationFolderError,
    is_coordinator,
    is_run,
    is_site,
    read_lines,
    read_members,
    read_site,
    runs,
)
from engine.archive.run_folder import EVENTS_FILE, RUN_FILE

_PER_ROUND = frozenset({"job", "trained", "sent", "validation", "finished"})


def status_of(folder: Path) -> dict[str, Any]:
    """Return what goes on in `folder`, a coordinator's, a site's or a run's, as JSON values.

    Raises:
        FederationFolderError: If it is none of these.
    """
    if is_run(folder):
        return _run_status(folder)
    if is_coordinator(folder):
        return _coordinator_status(folder)
    if is_site(folder):
        return _site_status(folder)
    raise FederationFolderError(
        "This is no folder of a federation.",
        remedy="Name one made by 'islet federate init' or 'request', or a run in 'runs'.",
    )


def connected_sites(folder: Path) -> frozenset[str]:
    """Return who is connected to the server of `folder`; nobody where it does not run."""
    if not runs(folder):
        return frozenset()
    found: set[str] = set()
    for event in read_lines(folder / EVENTS_FILE):
        count(found, event)
    return frozenset(found)


def count(connected: set[str], event: Mapping[str, Any]) -> None:
    """Change who is connected to a server by one of its events."""
    if event.get("event") == "state":
        connected.clear()
    elif event.get("event") == "connected":
        connected.add(str(event.get("site")))
    elif event.get("event") == "disconnected":
        connected.discard(str(event.get("site")))


def told_state(last: Mapping[str, Any], *, is_running: bool) -> dict[str, Any]:
    """Return how server or site is: what it said last, if it still runs or failed.

    Args:
        last: Its last event "state"; empty before any.
        is_running: Whether its process is there.
    """
    state = str(last.get("state", "stopped"))
    if not is_running and state != "failed":
        state, last = "stopped", {}
    return {
        "is_running": is_running,
        "state": state,
        "message": last.get("message", ""),
        "remedy": last.get("remedy", ""),
    }


def _run_status(place: Path) -> dict[str, Any]:
    try:
        said = json.loads((place / RUN_FILE).read_bytes())
    except (OSError, ValueError):
        said = {}
    is_running = runs(place)
    state = str(said.get("state", "queued"))
    if state == "running" and not is_running:
        state = "interrupted"
    records = read_lines(place / ROUNDS_FILE)
    return {
        "kind": "run",
        "is_running": is_running,
        "run": place.name,
        "state": state,
        "message": said.get("message", ""),
        "remedy": said.get("remedy", ""),
        "rounds_done": len(records),
        "last_round": records[-1] if records else None,
    }


def _coordinator_status(folder: Path) -> dict[str, Any]:
    places = sorted((folder / RUNS_FOLDER).glob("*"))
    events, is_running = read_lines(folder / EVENTS_FILE), runs(folder)
    connected: set[str] = set()
    for event in events if is_running else ():
        count(connected, event)
    return {
        "kind": "coordinator",
        **told_state(_last_state(events), is_running=is_running),
        "sites": [
            {
                "name": member.name,
                "is_connected": member.name in connected,
                "is_revoked": bool(member.revoked),
            }
            for member in read_members(folder)
        ],
        "runs": [_run_status(place) for place in places if is_run(place)],
    }


def _site_status(folder: Path) -> dict[str, Any]:
    site = read_site(folder)
    last: dict[str, Any] = {}
    events = read_lines(folder / EVENTS_FILE)
    for event in events:
        if event.get("event") == "server" or event.get("event") in _PER_ROUND:
            last[str(event["event"])] = event
    return {
        "kind": "site",
        "name": site.name,
        "federation": site.federation,
        "has_joined": bool(site.authority),
        **told_state(_last_state(events), is_running=runs(folder)),
        "server": last.pop("server", None),
        "last": last,
    }


def _last_state(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((event for event in reversed(events) if event.get("event") == "state"), {})
