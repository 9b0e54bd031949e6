"""Run a federation's server or one of its sites, after everything that it needs was looked at."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from engine.archive.federation import (
    FederationFolderError,
    claim,
    is_site,
    read_coordinator,
    read_members,
    read_site,
    runs,
    tell,
)
from engine.archive.federation_extra import require_flare
from engine.archive.run_folder import replace_text
from engine.errors import IsletError
from engine.federated.flare.log_lines import ServerEar, SiteEar
from engine.federated.flare.ready import Role, make_ready
from engine.federated.kits.certificates import (
    Check,
    Identity,
    Kit,
    check_host,
    check_kit,
    check_site,
    look,
    server_identity,
)
from engine.federated.kits.faults import CertificateError, MissingFileError, PortTakenError
from engine.federated.processes import Service, end_leftovers, follow

_PROBE_S = 2.0
_PORT = "port of the server"


def kit_of(folder: Path) -> Kit:
    """Return what certificates must say in `folder`, a coordinator's or a site's.

    Raises:
        FederationFolderError: If it is neither, or the site has not joined yet.
    """
    if is_site(folder):
        site = read_site(folder)
        if not site.authority:
            raise FederationFolderError(
                "This site has not joined its federation yet.",
                remedy="Send request.zip to the coordinator, and type 'islet federate join' with"
                " the answer.",
            )
        return Kit(folder / "kit" / "startup", site.name, "client", site.host, site.port)
    coordinator = read_coordinator(folder)
    startup = folder / "server" / "startup"
    return Kit(startup, coordinator.host, "server", coordinator.host, coordinator.port)


def checks(folder: Path) -> tuple[Check, ...]:
    """Look at everything that must be right before a start in `folder`."""
    kit = kit_of(folder)
    if kit.role == "client":
        return check_site(kit)
    found = (*check_kit(kit), look("name of the server", kit, check_host))
    # A server that runs already is what uses it.
    return found if runs(folder) else (*found, look(_PORT, kit, _check_free))


def serve(folder: Path, on_state: Callable[[str], None] = lambda _: None) -> None:
    """Run the server of a federation until it is stopped.

    Raises:
        IsletError: If it cannot start, or ends by itself.
    """
    require_flare()
    coordinator = read_coordinator(folder)
    kit = kit_of(folder)
    claim(folder)
    with _told(folder):
        _begin(folder, on_state)
        _refuse((look(_PORT, kit, _check_free),))
        _make_ready(folder / "server", "server", folder / "store")
        write_revoked(folder)
    settings = ("secure_train=true", f"org={coordinator.organisation}", "config_folder=")
    command = _command("server", folder / "server", "fed_server.json", settings)

    def on_event(event: str, what: str) -> None:
        values = {"text": what} if event == "alarm" else {"site": what}
        tell(folder, event, **values)

    service = Service(
        folder,
        "server",
        command,
        lambda: ServerEar(on_event),
        lambda: _first_fault(checks(folder)),
    )
    follow(service, on_state)


def take_part(
    folder: Path,
    check_data: Callable[[], None] = lambda: None,
    on_state: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a site's client until it is stopped; a server that goes away is waited for.

    Args:
        folder: The site's.
        check_data: Raises an IsletError where the site cannot train.
        on_state: Told how it is.

    Raises:
        IsletError: If it cannot start, may not go on, or ends by itself.
    """
    require_flare()
    site = read_site(folder)
    kit = kit_of(folder)
    claim(folder)
    with _told(folder):
        _begin(folder, on_state)
        check_data()
        _tell_server(folder, server_identity(kit))
        _make_ready(folder / "kit", "client", folder / "store" / "flare")
    settings = (
        *("secure_train=true", f"uid={site.name}"),
        *(f"org={site.organisation}", "config_folder="),
    )
    command = _command("client", folder / "kit", "fed_client.json", settings)
    service = Service(
        folder,
        "site",
        command,
        lambda: SiteEar(lambda: _is_reached(kit)),
        lambda: _first_fault(checks(folder)),
    )
    follow(service, on_state)


def write_revoked(folder: Path) -> None:
    """Tell the server of `folder` whom it must not let in when it starts; may raise OSError.

    A running one is told by its coordinator's login, and would write over this.
    """
    names = sorted(member.name for member in read_members(folder) if member.revoked)
    text = json.dumps({"disabled_clients": names}, indent=2)
    replace_text(folder / "server" / "disabled_clients.json", text)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell in the folder's events what goes wrong."""
    try:
        yield
    except IsletError as error:
        tell(folder, "state", state="failed", message=error.message, remedy=error.remedy)
        raise


def _begin(folder: Path, on_state: Callable[[str], None]) -> None:
    end_leftovers(folder)
    tell(folder, "state", state="checking", message="", remedy="")
    on_state("checking")
    _refuse(checks(folder))


def _make_ready(kit: Path, role: Role, store: Path) -> None:
    try:
        make_ready(kit, role, store)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingFileError("configuration") from error


def _refuse(found: Iterable[Check]) -> None:
    fault = _first_fault(found)
    if fault is not None:
        raise fault


def _first_fault(found: Iterable[Check]) -> CertificateError | None:
    return next((check.error for check in found if check.error is not None), None)


def _check_free(kit: Kit) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", kit.port))
        except OSError as error:
            raise PortTakenError(kit.port) from error


def _tell_server(folder: Path, identity: Identity) -> None:
    tell(
        folder,
        "server",
        name=identity.name,
        organisation=identity.organisation,
        fingerprint=identity.fingerprint,
        expires=identity.expires,
    )


def _command(role: str, workspace: Path, config: str, settings: Sequence[str]) -> list[str]:
    module = f"nvflare.private.fed.app.{role}.{role}_train"
    return [
        *(sys.executable, "-u", "-m", module, "-m", str(workspace.absolute())),
        *("-s", config, "--set", *settings),
    ]


def _is_reached(kit: Kit) -> bool:
    try:
        socket.create_connection((kit.host, kit.port), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True
