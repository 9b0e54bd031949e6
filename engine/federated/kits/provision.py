"""Begin a federation: its authority, and the kits of its server and coordinator."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    Coordinator,
    FederationFolderError,
    now,
    write_coordinator,
)
from engine.archive.federation_extra import require_flare
from engine.federated.kits.certificates import fingerprint_of_file
from engine.federated.kits.flare_tool import (
    AUTHORITY_FOLDER,
    PROFILE,
    SERVER_DAYS,
    make_authority,
    make_request,
    package,
    sign,
)
from engine.federated.kits.names import check_host, check_name, in_certificates

__all__ = ["ADMIN", "ROOT", "begin_federation", "new_folder", "write_yaml"]

ADMIN = "coordinator@islet.example"
"""Name of the coordinator among FLARE's users."""
ROOT = "rootCA.pem"


def begin_federation(
    folder: Path, *, name: str, host: str, port: int, organisation: str
) -> Coordinator:
    """Make the authority, the server's kit and the coordinator's, in `folder`.

    Args:
        folder: New or empty.
        name: Of the federation.
        host: Under which the sites reach the server.
        port: Of the server; the only one that must be open.
        organisation: The coordinator's; certificates hold its letters and digits.

    Raises:
        IsletError: If something of it cannot be used.
    """
    check_name("federation", name)
    organisation = in_certificates(organisation)
    check_host(host)
    require_flare()
    with new_folder(folder) as part:
        profile = {
            "name": name,
            "scheme": "grpc",
            "connection_security": "mtls",
            "server": {"host": host, "fed_learn_port": port},
        }
        write_yaml(part / PROFILE, profile)
        make_authority(part)
        (part / AUTHORITY_FOLDER).chmod(0o700)
        authority = fingerprint_of_file(part / AUTHORITY_FOLDER / ROOT)
        people = (
            ("server", {"name": host, "type": "server", "org": organisation}),
            ("admin", {"name": ADMIN, "type": "admin", "org": organisation, "role": "lead"}),
        )
        for kit, participant in people:
            asked = {"name": name, "participants": [participant]}
            _make_kit(part, kit, asked, authority)
        coordinator = Coordinator(name, host, port, authority, organisation, now())
        write_coordinator(part, coordinator)
    return coordinator


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`, which takes its place where all goes well.

    Without its description nobody takes a folder for one of a federation; so it is there whole or
    not at all, and nobody else may look into it.

    Raises:
        FederationFolderError: If `folder` is used already, or cannot be made.
    """
    place = folder.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FederationFolderError(
            "The folder is not empty.", remedy="Name a new folder, or empty this one."
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".federation-", dir=place.parent))
    except OSError as error:
        raise FederationFolderError(
            "The folder cannot be made.",
            remedy="Name another folder, or ask for permission to write there.",
        ) from error
    try:
        yield part
        if place.exists():
            place.rmdir()
        part.rename(place)
    finally:
        # Nothing is there where all went well.
        shutil.rmtree(part, ignore_errors=True)


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` at `path`; may raise OSError."""
    # JSON is YAML, too.
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _make_kit(folder: Path, kit: str, asked: Mapping[str, Any], authority: str) -> None:
    """Request, sign and package within the coordinator's own folder."""
    place = folder / f"request_{kit}"
    participant = folder / f"{kit}.yml"
    write_yaml(participant, asked)
    make_request(folder, participant, place.name)
    (request,) = place.glob("*.request.zip")
    sign(folder, request, SERVER_DAYS)
    (signed,) = place.glob("*.signed.zip")
    package(folder, signed, place, authority, folder / kit)
    shutil.rmtree(place)
    participant.unlink()
