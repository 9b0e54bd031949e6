"""The folders of a federation: the coordinator's, a site's, and that of a run.

Everything in them is JSON and text, so that the window can follow what other processes do there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from engine.archive.run_folder import (
    EVENTS_FILE,
    append_event,
    folder_error,
    is_alive,
    this_process,
    write_json,
)
from engine.errors import IsletError

COORDINATOR_FILE = "federation.json"
MEMBERS_FILE = "sites.json"
SITE_FILE = "site.json"
SIMULATION_FILE = "simulation.json"
PROCESS_FILE = "process.json"
ROUNDS_FILE = "rounds.jsonl"
SENT_FILE = "sent.jsonl"
ORDER_FILE = "order.json"
RESULT_FILE = "result.json"
TABLE_FILE = "table.md"
RUNS_FOLDER = "runs"
REGROUP = "regroup"
"""Written into a run's control file: end the job after this round, for another with more sites."""
FOLDER_VARIABLE = "ISLET_FEDERATION_FOLDER"
"""Names the folder to the processes that work in it."""

_COORDINATOR_FORMAT = "islet-federation-1"
_SITE_FORMAT = "islet-site-1"

T = TypeVar("T")


class FederationFolderError(IsletError):
    """A folder that is not what it was taken for, or cannot be used."""


@dataclass(frozen=True, slots=True)
class Coordinator:
    """A federation, as its coordinator knows it.

    Args:
        name: Of the federation; also of its authority.
        host: Under which the sites reach the server.
        port: Of the server.
        authority: SHA-256 fingerprint of the authority's certificate, to be read aloud.
        organisation: The coordinator's.
        created: ISO 8601.
    """

    name: str
    host: str
    port: int
    authority: str
    organisation: str
    created: str


@dataclass(frozen=True, slots=True)
class Member:
    """A site that was let into a federation.

    Args:
        name: Of the site.
        organisation: Whose it is.
        fingerprint: SHA-256 of its public key.
        approved: ISO 8601.
        expires: ISO 8601, of its certificate.
        revoked: ISO 8601; empty while it is welcome.
    """

    name: str
    organisation: str
    fingerprint: str
    approved: str
    expires: str
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """A site, as its hospital set it up; none of it leaves but name and organisation.

    Args:
        name: In the federation.
        organisation: Whose it is.
        fingerprint: SHA-256 of its public key, to be compared by phone.
        federation: Empty until it joined.
        host: Of the server.
        port: Of the server.
        authority: SHA-256 fingerprint of the authority's certificate.
        data: Folder of its data set; empty until it is named.
        annotation: By structure "annotated", "absent" or "unlabelled".
        share_at_most: Largest part of an update that may leave, 0 to 1.
        device: "auto", "cpu" or "cuda:N".
    """

    name: str
    organisation: str
    fingerprint: str
    federation: str = ""
    host: str = ""
    port: int = 0
    authority: str = ""
    data: str = ""
    annotation: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    share_at_most: float = 1.0
    device: str = "auto"


def now() -> str:
    """Return the time as it is written into these folders."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def write_coordinator(folder: Path, coordinator: Coordinator) -> None:
    """Write it; may raise OSError."""
    write_json(folder / COORDINATOR_FILE, {"format": _COORDINATOR_FORMAT, **asdict(coordinator)})


def read_coordinator(folder: Path) -> Coordinator:
    """Read what the coordinator's folder says.

    Raises:
        FederationFolderError: If it is none, or damaged.
    """
    return _read(folder / COORDINATOR_FILE, _COORDINATOR_FORMAT, Coordinator, "coordinator")


def write_site(folder: Path, site: SiteSettings) -> None:
    """Write it; may raise OSError."""
    write_json(folder / SITE_FILE, {"format": _SITE_FORMAT, **asdict(site)})


def read_site(folder: Path) -> SiteSettings:
    """Read what a site's folder says.

    Raises:
        FederationFolderError: If it is none, or damaged.
    """
    return _read(folder / SITE_FILE, _SITE_FORMAT, SiteSettings, "site")


def read_members(folder: Path) -> tuple[Member, ...]:
    """Return the sites that were let in, in that order.

    Raises:
        FederationFolderError: If the list is damaged.
    """
    path = folder / MEMBERS_FILE
    try:
        listed = json.loads(path.read_bytes())["sites"]
        return tuple(Member(**each) for each in listed)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged("list of sites") from error


def write_members(folder: Path, members: tuple[Member, ...]) -> None:
    """Write the list of sites; may raise OSError."""
    write_json(folder / MEMBERS_FILE, {"sites": [asdict(member) for member in members]})


def with_member(members: tuple[Member, ...], member: Member) -> tuple[Member, ...]:
    """Return the list with `member` in the place of an earlier one of its name, or at the end."""
    if member.name not in {each.name for each in members}:
        return (*members, member)
    return tuple(member if each.name == member.name else each for each in members)


def revoked(member: Member) -> Member:
    """Return `member` as one that is not welcome any more."""
    return replace(member, revoked=now())


def is_coordinator(folder: Path) -> bool:
    """Return whether `folder` is a coordinator's."""
    return (folder / COORDINATOR_FILE).is_file()


def is_site(folder: Path) -> bool:
    """Return whether `folder` is a site's."""
    return (folder / SITE_FILE).is_file()


def is_simulation(folder: Path) -> bool:
    """Return whether `folder` is that of a simulated federation."""
    return (folder / SIMULATION_FILE).is_file()


def is_run_name(name: str) -> bool:
    """Return whether `name` can be that of a run; one from elsewhere could lead out of a folder."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name) is not None


def is_run(folder: Path) -> bool:
    """Return whether `folder` is that of a run of a federation."""
    return (folder / ORDER_FILE).is_file()


def tell(folder: Path, event: str, **values: Any) -> None:
    """Append an event to those of `folder`; see `engine.archive.run_events`.

    Raises:
        RunFolderError: If it cannot be written.
    """
    try:
        append_event(folder / EVENTS_FILE, event, **values)
    except OSError as error:
        raise folder_error(error) from error


def claim(folder: Path) -> None:
    """Say that this process works in `folder`.

    What an earlier one left running stays noted, until it is ended.

    Raises:
        FederationFolderError: If another one does.
        RunFolderError: If it cannot be written.
    """
    known = process_of(folder)
    if is_alive(known) and known.get("pid") != this_process()["pid"]:
        raise FederationFolderError(
            "Another process already works in this folder.",
            remedy="Follow that one, or end it with 'islet federate stop'.",
        )
    try:
        write_json(folder / PROCESS_FILE, {**known, **this_process()})
    except OSError as error:
        raise folder_error(error) from error


def process_of(folder: Path) -> dict[str, Any]:
    """Return who works in `folder`, or did last; empty where nobody ever did."""
    try:
        found = json.loads((folder / PROCESS_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def runs(folder: Path) -> bool:
    """Return whether a process works in `folder` now."""
    return is_alive(process_of(folder))


def read_lines(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the JSON objects of a file of lines; a torn line is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return ()
    found: list[dict[str, Any]] = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return tuple(found)


def _read(path: Path, wanted: str, kind: type[T], what: str) -> T:
    try:
        values = json.loads(path.read_bytes())
        if values.pop("format") != wanted:
            raise _damaged(f"description of the {what}")
        known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
        return kind(**{name: value for name, value in values.items() if name in known})
    except FileNotFoundError as error:
        first = "islet federate init" if kind is Coordinator else "islet federate request"
        raise FederationFolderError(
            f"This is not the folder of a federation's {what}.",
            remedy=f"Name the folder that was made with '{first}'.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"description of the {what}") from error


def _damaged(what: str) -> FederationFolderError:
    return FederationFolderError(
        f"The {what} in this folder is damaged.", remedy="Restore the folder from a copy."
    )
