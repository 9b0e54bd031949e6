"""Send a site away: at once from a running server and its run, and for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    FederationFolderError,
    read_coordinator,
    read_members,
    revoked,
    runs,
    with_member,
    write_members,
)
from engine.errors import IsletError
from engine.federated.supervise import NoServerError, admin_of


class NotHeardError(IsletError):
    """A running server that could not be told."""

    def __init__(self, site: str) -> None:
        super().__init__(
            f"{site} is revoked, but the running server did not hear of it.",
            remedy="Stop the server and start it again: it then lets the site in no more.",
        )


def revoke(folder: Path, site: str, login: Callable[[Path], Any] = admin_of) -> bool:
    """Let a site take part no more.

    Args:
        folder: The coordinator's.
        site: Its name.
        login: Logs in to the server.

    Returns:
        Whether a server that runs has thrown it out; one that does not is told when it starts.

    Raises:
        IsletError: If there is no such site, or the running server could not be told.
    """
    read_coordinator(folder)
    members = read_members(folder)
    known = {member.name: member for member in members}.get(site)
    if known is None:
        raise FederationFolderError(
            f"There is no site called '{site}' in this federation.",
            remedy="'islet federate sites' lists them.",
        )
    # First on the disk: a run takes it along no more, and a server lets it in no more, even if
    # this fails.
    if not known.revoked:
        write_members(folder, with_member(members, revoked(known)))
    if not runs(folder):
        return False
    try:
        with login(folder) as admin:
            admin.disable(site)
    except (NoServerError, OSError) as error:
        raise NotHeardError(site) from error
    return True
