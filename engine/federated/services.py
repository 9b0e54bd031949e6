"""Run FLARE's server or a site's client, and tell in the folder's events how it is.

FLARE's process and all it starts are one process group, which ends as a whole.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.archive.federation import (
    FOLDER_VARIABLE,
    PROCESS_FILE,
    FederationFolderError,
    claim,
    is_site,
    process_of,
    read_coordinator,
    read_site,
    tell,
)
from engine.archive.run_folder import LOG_FILE, is_alive, this_process, write_json
from engine.errors import IsletError
from engine.federated.flare.ready import make_ready
from engine.federated.kits.certificates import (
    Check,
    Identity,
    Kit,
    check_kit,
    check_server,
    server_identity,
)
from engine.federated.kits.provision import require_flare

_LOOK_EVERY_S = 0.2
_SILENT_S = 20.0  # a start takes two to five; see what was measured
_PATIENCE_S = 8.0  # for processes that were asked to end
_OFFLINE_AFTER_S = 15.0  # ours: a heartbeat and a half
_REGISTERED = re.compile(r"Successfully registered client")
_UP = re.compile(r"Server started")
_CONNECTED = re.compile(r"New client ([\w-]+)@\S+ joined")
_LOST = re.compile(r"Remove the dead Client\. Name: ([\w-]+)")


class PortTakenError(IsletError):
    """Somebody else uses the server's port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} of this computer is in use already.",
            remedy="End the other server, or make a federation with another --port.",
        )


class DidNotStartError(IsletError):
    """FLARE's process ended, or said nothing."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The {what} did not start.",
            remedy="The log in its folder says more; 'islet federate check' looks for the cause.",
        )


@dataclass(frozen=True, slots=True)
class Service:
    """FLARE's process in one folder.

    Args:
        folder: The coordinator's or the site's.
        what: What a reader calls it.
        command: Program and arguments.
        is_up: Tells the line that says that it is up.
        on_line: Told every line after that.
        still_up: Asked from time to time whether the other side is there.
    """

    folder: Path
    what: str
    command: Sequence[str]
    is_up: Callable[[str], bool]
    on_line: Callable[[str], None]
    still_up: Callable[[], bool]


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
    found = check_kit(kit)
    if kit.role == "server" or any(check.error for check in found):
        return found
    return (*found, *check_server(kit))


def serve(folder: Path, on_state: Callable[[str], None] = lambda _: None) -> None:
    """Run the server of a federation until it is stopped.

    Raises:
        IsletError: If it cannot start.
    """
    require_flare()
    coordinator = read_coordinator(folder)
    _prepare(folder)
    _refuse_faults(folder)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", coordinator.port))
        except OSError as error:
            raise PortTakenError(coordinator.port) from error
    make_ready(folder / "server", "server", folder / "store")
    settings = ("secure_train=true", f"org={coordinator.organisation}", "config_folder=")
    command = _command("server", folder / "server", "fed_server.json", settings)
    members = _Members(folder)
    service = Service(
        folder,
        "server",
        command,
        lambda line: bool(_UP.search(line)),
        members.on_line,
        lambda: True,
    )
    _run(service, on_state)


def take_part(folder: Path, on_state: Callable[[str], None] = lambda _: None) -> None:
    """Run a site's client until it is stopped; a server that goes away is waited for.

    Raises:
        IsletError: If it cannot start.
    """
    require_flare()
    site = read_site(folder)
    kit = kit_of(folder)
    _prepare(folder)
    on_state("checking")
    _refuse_faults(folder)
    identity = server_identity(kit)
    _tell_server(folder, identity)
    make_ready(folder / "kit", "client", folder / "store" / "flare")
    settings = (
        "secure_train=true",
        f"uid={site.name}",
        f"org={site.organisation}",
        "config_folder=",
    )
    command = _command("client", folder / "kit", "fed_client.json", settings)
    service = Service(
        folder,
        "site",
        command,
        lambda line: bool(_REGISTERED.search(line)),
        lambda _: None,
        _Server(kit),
    )
    _run(service, on_state)


def stop(folder: Path) -> bool:
    """End the process that works in `folder`, and everything it started.

    Returns:
        Whether there was one.
    """
    known = process_of(folder)
    process = _same_process(known.get("pid"), known.get("pid_started"))
    if process is not None:
        process.terminate()
        try:
            process.wait(_PATIENCE_S * 2)
        except psutil.TimeoutExpired:
            process.kill()
    left = _end_leftovers(folder)
    return process is not None or left


def _prepare(folder: Path) -> None:
    claim(folder)
    _end_leftovers(folder)
    tell(folder, "state", state="checking", message="", remedy="")


def _refuse_faults(folder: Path) -> None:
    for check in checks(folder):
        if check.error is not None:
            said = check.error
            tell(folder, "state", state="failed", message=said.message, remedy=said.remedy)
            raise said


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


def _run(service: Service, on_state: Callable[[str], None]) -> None:
    """Follow the process until it ends or this process is asked to."""
    _Follower(service, on_state).run()


class _Follower:
    """Starts a service, and follows it to its end."""

    def __init__(self, service: Service, on_state: Callable[[str], None]) -> None:
        self._service = service
        self._on_state = on_state
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._state = ""
        self._stops = threading.Event()

    def run(self) -> None:
        """Return when the service was stopped.

        Raises:
            DidNotStartError: If it ended by itself.
        """
        # Asked to stop by the window or by `islet federate stop`.
        before = signal.signal(signal.SIGTERM, lambda *_: self._stops.set())
        process = self._start()
        try:
            self._follow(process)
        finally:
            self._say("stopping" if self._state != "failed" else "failed")
            end_group(process)
            signal.signal(signal.SIGTERM, before)
            if self._state != "failed":
                self._say("stopped")

    def _start(self) -> subprocess.Popen[str]:
        service = self._service
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=_environment(service.folder),
            cwd=service.folder,
        )
        group = {"group": process.pid, "group_started": psutil.Process(process.pid).create_time()}
        write_json(service.folder / PROCESS_FILE, {**this_process(), **group})
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self._say("starting")
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None, "it is a pipe"
        with (self._service.folder / LOG_FILE).open("a", encoding="utf-8") as log_file:
            for line in process.stdout:
                log_file.write(line)
                log_file.flush()
                self._lines.put(line)
        self._lines.put(None)

    def _follow(self, process: subprocess.Popen[str]) -> None:
        begun = time.monotonic()
        looked = begun
        while not self._stops.is_set():
            try:
                line = self._lines.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                line = ""
            if line is None or process.poll() is not None:
                self._fail()
            elif line:
                self._hear(line)
            now = time.monotonic()
            if self._state == "starting" and now - begun > _SILENT_S:
                self._fail()
            if self._state in ("online", "offline") and now - looked > _OFFLINE_AFTER_S:
                looked = now
                self._say("online" if self._service.still_up() else "offline")

    def _hear(self, line: str) -> None:
        if self._service.is_up(line):
            self._say("online")
        self._service.on_line(line)

    def _fail(self) -> None:
        error = DidNotStartError(self._service.what)
        for check in checks(self._service.folder):
            if check.error is not None:
                error = check.error
        self._state = "failed"
        tell(
            self._service.folder,
            "state",
            state="failed",
            message=error.message,
            remedy=error.remedy,
        )
        raise error

    def _say(self, state: str) -> None:
        if state == self._state:
            return
        self._state = state
        message, remedy = _WORDS.get((self._service.what, state), ("", ""))
        tell(self._service.folder, "state", state=state, message=message, remedy=remedy)
        self._on_state(state)


_WORDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("site", "offline"): (
        "The server of the federation does not answer.",
        "The site goes on by itself when it is back; ask the coordinator if it stays away.",
    ),
}


class _Server:
    """Tells whether a site's server can be reached."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def __call__(self) -> bool:
        try:
            socket.create_connection((self._kit.host, self._kit.port), timeout=2.0).close()
        except OSError:
            return False
        return True


class _Members:
    """Tells which sites come and go, from what the server says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_line(self, line: str) -> None:
        """Hear a line."""
        for pattern, event in ((_CONNECTED, "connected"), (_LOST, "disconnected")):
            found = pattern.search(line)
            if found is not None:
                tell(self._folder, event, site=found.group(1))


def _environment(folder: Path) -> dict[str, str]:
    own = str(folder.absolute())
    threads = os.environ.get("OMP_NUM_THREADS", "")
    environment = {**os.environ, FOLDER_VARIABLE: own, "MALLOC_ARENA_MAX": "4"}
    # Else a site's process would look for what it loads in the folder it is started in.
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    if threads:
        environment["OMP_NUM_THREADS"] = threads
    return environment


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started: asked first, then at once."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            break
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            continue
        if not _is_group_alive(process.pid):
            break
        time.sleep(_LOOK_EVERY_S)
    process.wait()


def _is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _end_leftovers(folder: Path) -> bool:
    """End what a follower that was killed has left running."""
    known = process_of(folder)
    group, started = known.get("group"), known.get("group_started")
    if _same_process(group, started) is None or not isinstance(group, int):
        return False
    os.killpg(group, signal.SIGKILL)
    return True


def _same_process(pid: object, started: object) -> psutil.Process | None:
    if not isinstance(pid, int) or not is_alive({"pid": pid, "pid_started": started}):
        return None
    return psutil.Process(pid)
