"""A federation of real processes on loopback, and hands that break it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.program import Islet, end, events

PATIENCE_S = 240.0
SITES = ("north", "south", "west")


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def until(is_true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so, and fail with `what` if it does not become so."""
    end_s = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < end_s, f"not seen in time: {what}"
        time.sleep(0.1)


class FederationOfProcesses:
    """A coordinator, three sites, and the processes they run.

    Args:
        islet: The program.
        root: Takes all folders.
        data: Data set of every site.
    """

    def __init__(self, islet: Islet, root: Path, data: Path) -> None:
        self.islet = islet
        self.coordinator = root / "coordinator"
        self.sites = {name: root / name for name in SITES}
        self.port = free_port()
        self.data = data
        self._processes: dict[str, subprocess.Popen[str]] = {}
        made = islet.json(
            *("federate", "init", self.coordinator, "--name", "trial", "--host", "localhost"),
            *("--port", self.port),
        )
        for name, folder in self.sites.items():
            asked = islet.json(
                *("federate", "request", folder, "--federation", "trial", "--name", name),
                *("--organisation", f"Klinik {name}"),
            )
            let_in = islet.json(
                *("federate", "approve", self.coordinator, folder / "request.zip"),
                *("--fingerprint", asked["fingerprint"]),
            )
            islet.json(
                *("federate", "join", folder, let_in["signed"]),
                *("--fingerprint", made["authority"]),
            )

    def start_server(self) -> None:
        """Start the server, and wait until it is up."""
        told = len(events(self.coordinator))
        self._start("server", "federate", "server", self.coordinator)
        self._until_online(self.coordinator, told)

    def start_site(self, name: str) -> None:
        """Start a site, and wait until it is in."""
        told = len(events(self.sites[name]))
        more = ("--annotation", "lesion=unlabelled") if name == "west" else ()
        self._start(
            *(name, "federate", "start", self.sites[name], "--data", self.data),
            *("--device", "cpu", *more),
        )
        self._until_online(self.sites[name], told)

    def start_all(self) -> None:
        """Start the server, then the sites."""
        self.start_server()
        for name in SITES:
            self.start_site(name)

    def begin_run(self, run: str, *words: object) -> subprocess.Popen[str]:
        """Start to see a run to its end."""
        process = self.islet.start(
            *("federate", "run", self.coordinator, "c2fnas", "--run", run, "--size", "toy"),
            *("--local-epochs", 1, *words),
        )
        self._processes[f"run {run}"] = process
        return process

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run."""
        return self.coordinator / "runs" / run

    def told(self, run: str, event: str) -> list[dict[str, Any]]:
        """Return the events of one kind of a run."""
        return [each for each in events(self.run_folder(run)) if each["event"] == event]

    def processes_of(self, name: str, words: str) -> list[psutil.Process]:
        """Return the processes that a server or site runs whose command holds `words`."""
        found: list[psutil.Process] = []
        for process in psutil.Process(self._processes[name].pid).children(recursive=True):
            try:
                if words in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def cut_power(self, name: str) -> None:
        """Kill a server or site with all it runs, as a power cut does."""
        process = self._processes.pop(name)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        process.communicate()

    def close(self) -> None:
        """End everything, the server last."""
        for name in [*(n for n in self._processes if n != "server"), "server"]:
            process = self._processes.pop(name, None)
            if process is None:
                continue
            if process.poll() is None:
                # The whole group would be killed without a chance to end what it started.
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            end(process)
        for folder in (self.coordinator, *self.sites.values()):
            _end_left(folder)

    def _start(self, name: str, *words: object) -> None:
        self._processes[name] = self.islet.start(*words)

    def _until_online(self, folder: Path, told: int) -> None:
        def is_online() -> bool:
            states = [e["state"] for e in events(folder)[told:] if e["event"] == "state"]
            assert "failed" not in states, events(folder)[-1]
            return "online" in states

        until(is_online, f"{folder.name} online", 90)


def _end_left(folder: Path) -> None:
    """Kill what still works in a folder, so that no test leaves anything running."""
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                process.kill()
        except psutil.Error:
            continue


def started(make: Callable[[], FederationOfProcesses]) -> Iterator[FederationOfProcesses]:
    """Yield a federation that runs, and end it in any case."""
    federation = make()
    try:
        federation.start_all()
        yield federation
    finally:
        federation.close()


def stop_process(process: psutil.Process) -> None:
    """Make a process stand still."""
    os.kill(process.pid, signal.SIGSTOP)


def continue_process(process: psutil.Process) -> None:
    """Let a process go on."""
    os.kill(process.pid, signal.SIGCONT)
