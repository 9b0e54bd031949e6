"""A server and a site over mutual TLS: who may come in, who comes back, and who does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.federated.flare.job import Job, write_job
from engine.federated.kits.certificates import server_identity
from engine.federated.kits.faults import RefusedError
from engine.federated.services import kit_of
from tests.e2e.federation import free_port, until
from tests.e2e.program import Islet, end, events, members
from tests.engine.federated.kits.certificates_made import expired_kit
from tests.engine.training.tiny import write_balls

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")
pytestmark = pytest.mark.timeout(300)


class Trial:
    """A coordinator's folder and a site's, and what runs in them."""

    def __init__(self, islet: Islet, root: Path, data: Path) -> None:
        self.islet = islet
        self.coordinator = root / "coordinator"
        self.site = root / "haus süd"
        self._data = data
        self._processes: dict[Path, subprocess.Popen[str]] = {}
        made = islet.json(
            *("federate", "init", self.coordinator, "--name", "trial", "--host", "localhost"),
            *("--port", free_port(), "--organisation", "Universität Köln"),
        )
        asked = islet.json(
            *("federate", "request", self.site, "--federation", "trial", "--name", "south"),
            *("--organisation", "Haus Süd"),
        )
        answer = islet.json(
            *("federate", "approve", self.coordinator, self.site / "request.zip"),
            *("--fingerprint", asked["fingerprint"]),
        )
        self.authority = made["authority"]
        islet.json("federate", "join", self.site, answer["signed"], "--fingerprint", self.authority)

    def start(self, folder: Path) -> int:
        """Start the server or the site, wait until it is online, and return its process id."""
        if folder in self._processes:
            self.cut_power(folder)
        told = len(events(folder))
        words = (
            ("server", folder)
            if folder == self.coordinator
            else ("start", folder, "--data", self._data, "--device", "cpu")
        )
        self._processes[folder] = self.islet.start("federate", *words)
        until(lambda: "online" in self.states(folder, told), f"{folder.name} online", 60)
        return self._processes[folder].pid

    def start_lax_server(self) -> None:
        """Start FLARE's server by a coordinator who has taken all limits away."""
        self.cut_power(self.coordinator)
        local = self.coordinator / "server" / "local"
        values = json.loads((local / "resources.json").read_text())
        (local / "resources.json").write_text(json.dumps({**values, "class_allow_list": ["*"]}))
        shutil.copy(local / "authorization.json.default", local / "authorization.json")
        module = "nvflare.private.fed.app.server.server_train"
        self._processes[self.coordinator] = subprocess.Popen(
            [
                *(sys.executable, "-m", module, "-m", str(self.coordinator / "server")),
                *("-s", "fed_server.json", "--set", "secure_train=true", "org=x"),
                "config_folder=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        log = self.coordinator / "server" / "log.txt"
        until(
            lambda: "Re-activate the client: south" in log.read_text().rpartition("deployed")[2],
            "the site at the lax server",
            60,
        )

    def has_logged(self, words: str) -> bool:
        """Return whether the site says some words, or the server in its name."""
        server = self.coordinator / "server" / "log.txt"
        logs = [server, self.site / "log.txt", *self.site.glob("kit/**/log.txt")]
        return any(words in log.read_text() for log in logs)

    def states(self, folder: Path, since: int = 0) -> list[str]:
        """Return the states that were told."""
        return [str(e["state"]) for e in events(folder)[since:] if e["event"] == "state"]

    def last(self, folder: Path) -> dict[str, Any]:
        """Return the last state."""
        return [each for each in events(folder) if each["event"] == "state"][-1]

    def told(self, event: str) -> list[str]:
        """Return the sites of which the server told an event."""
        return [str(e["site"]) for e in events(self.coordinator) if e["event"] == event]

    def cut_power(self, folder: Path) -> None:
        """Kill a process with all that it started."""
        end(self._processes.pop(folder))

    def kill_follower(self, folder: Path) -> list[psutil.Process]:
        """Kill the process that was started alone; return what it had started."""
        process = self._processes.pop(folder)
        left = members(process)
        process.kill()
        # Nothing more is read: what it started may hold its pipes.
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return left

    def ended(self, folder: Path) -> tuple[int, str]:
        """Return how a process ended that ends by itself, and its last words."""
        process = self._processes.pop(folder)
        _, noted = process.communicate(timeout=60)
        return process.returncode, noted

    def close(self) -> None:
        """End everything."""
        for folder in (self.site, self.coordinator):
            self.islet.run("federate", "stop", folder)
        for process in self._processes.values():
            end(process)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    root = tmp_path_factory.mktemp("Föderation") / "zwei Häuser"
    islet = Islet(tmp_path_factory.mktemp("home"))
    made = Trial(islet, root, write_balls(tmp_path_factory.mktemp("data") / "balls", 3))
    try:
        made.start(made.coordinator)
        made.start(made.site)
        yield made
    finally:
        made.close()


def test_both_know_who_the_other_is(trial: Trial) -> None:
    until(lambda: trial.told("connected") == ["south"], "south connected", 10)
    (server,) = [each for each in events(trial.site) if each["event"] == "server"]
    assert (server["name"], server["organisation"]) == ("localhost", "Universitat_Koln")
    checked = trial.islet.json("federate", "check", trial.site)["checks"]
    assert {each["result"] for each in checked} == {"right"}
    status = trial.islet.json("federate", "status", trial.coordinator)
    assert status["state"] == "online"
    assert status["sites"] == [{"name": "south", "is_connected": True, "is_revoked": False}]


def test_a_certificate_of_another_clock_is_refused_by_the_real_server(
    trial: Trial, tmp_path: Path
) -> None:
    """FLARE's server hangs up without a word, and its client would wait for ever."""
    kit = expired_kit(kit_of(trial.site), trial.coordinator / "authority", tmp_path)
    with pytest.raises(RefusedError):
        server_identity(kit)
    until(
        lambda: any(
            "certificate has expired" in str(each.get("text")) for each in events(trial.coordinator)
        ),
        "the coordinator hearing of it",
        10,
    )


_SUBMIT = """
import sys
from pathlib import Path
from engine.federated.supervise import admin_of
with admin_of(Path(sys.argv[1])) as admin:
    admin.submit(Path(sys.argv[2]))
"""
_EVIL = """
from pathlib import Path
from nvflare.apis.fl_component import FLComponent
class Evil(FLComponent):
    def __init__(self):
        super().__init__()
        Path({mark!r}).touch()
"""


def test_no_program_of_the_coordinators_choice_runs_at_a_site(trial: Trial, tmp_path: Path) -> None:
    """Neither what travels with a job, nor what is installed and could do anything."""
    mark = tmp_path / "was here"
    code = tmp_path / "code"
    code.mkdir()
    (code / "evil.py").write_text(_EVIL.format(mark=str(mark)))
    starts = {"argv": ["/usr/bin/touch", str(mark)], "environment": {}, "most_starts": 1}
    launcher = "engine.federated.flare.launcher.ArgvHandle"
    jobs = (
        _evil_job(tmp_path / "one", {"path": "evil.Evil", "args": {}}, code),
        _evil_job(tmp_path / "two", {"path": launcher, "args": starts}),
    )
    # By a server that agrees to everything: the site has the last word.
    trial.start_lax_server()
    for job, words in zip(
        jobs, ("south: NVFLARE_ERROR: BYOC not permitted", "not in allow_list"), strict=True
    ):
        _submit(trial, job)
        until(lambda words=words: trial.has_logged(words) or mark.exists(), words, 60)
    assert not mark.exists()
    before = len(trial.told("connected"))
    trial.start(trial.coordinator)
    until(lambda: len(trial.told("connected")) > before, "the site at its own server", 30)
    until(lambda: trial.last(trial.site)["state"] == "online", "the site online", 30)


def _evil_job(folder: Path, component: dict[str, Any], code: Path | None = None) -> Path:
    job = write_job(Job("evil", ("south",), 1), folder)
    config = job / "islet" / "config" / "config_fed_client.json"
    values = json.loads(config.read_text())
    values["components"] = [{"id": "evil", **component}]
    config.write_text(json.dumps(values))
    if code is not None:
        shutil.copytree(code, job / "islet" / "custom")
    return job


def _submit(trial: Trial, job: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", _SUBMIT, str(trial.coordinator), str(job)],
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )


def test_a_second_start_is_refused(trial: Trial) -> None:
    for words in (("start", trial.site), ("server", trial.coordinator)):
        said = trial.islet.run("federate", *words, code=2)
        assert "Another process already works in this folder." in said.stderr
    assert trial.last(trial.site)["state"] == "online"


def test_a_site_waits_for_a_server_that_was_cut_off(trial: Trial) -> None:
    before = len(trial.told("connected"))
    trial.cut_power(trial.coordinator)
    until(lambda: trial.last(trial.site)["state"] == "offline", "the site offline", 20)
    assert trial.last(trial.site)["message"] == "The server of the federation does not answer."
    trial.start(trial.coordinator)
    until(lambda: trial.last(trial.site)["state"] == "online", "the site online", 30)
    until(lambda: len(trial.told("connected")) > before, "the server knowing it", 30)


def test_nothing_is_left_of_a_site_whose_follower_was_killed(trial: Trial) -> None:
    left = trial.kill_follower(trial.site)
    assert left
    until(lambda: not any(_lives(process) for process in left), "the end of FLARE's process", 20)
    assert trial.islet.json("federate", "status", trial.site)["state"] == "stopped"
    trial.start(trial.site)


def test_a_revoked_site_is_out_at_once_and_for_good(trial: Trial) -> None:
    trial.islet.json("federate", "check", trial.site)
    said = trial.islet.json("federate", "revoke", trial.coordinator, "south")
    assert said == {"site": "south", "is_disconnected": True}
    until(lambda: trial.told("disconnected")[-1:] == ["south"], "the server telling", 10)
    code, noted = trial.ended(trial.site)
    assert code == 2
    assert "The coordinator has revoked this site: the server lets it in no more." in noted
    assert trial.last(trial.site)["state"] == "failed"

    _is_refused(trial)
    said = trial.islet.run(
        "federate", "approve", trial.coordinator, trial.site / "request.zip", code=2
    )
    assert "is that of 'south', which was revoked." in said.stderr

    # FLARE's own list is lost: Islet's is what counts.
    trial.islet.run("federate", "stop", trial.coordinator)
    (trial.coordinator / "server" / "disabled_clients.json").unlink()
    trial.start(trial.coordinator)
    _is_refused(trial)
    status = trial.islet.json("federate", "status", trial.coordinator)
    assert status["sites"] == [{"name": "south", "is_connected": False, "is_revoked": True}]


def _is_refused(trial: Trial) -> None:
    said = trial.islet.run("federate", "start", trial.site, code=2)
    assert "The coordinator has revoked this site" in said.stderr
    assert "make a new request under another name" in said.stderr


def test_no_case_and_no_place_is_told(trial: Trial) -> None:
    for folder in (trial.site, trial.coordinator):
        text = (folder / "events.jsonl").read_text(encoding="utf-8")
        assert "ball" not in text
        assert str(folder) not in text
    with zipfile.ZipFile(trial.site / "request.zip") as archive:
        said = json.loads(archive.read("request.json"))
    assert str(trial.site) not in json.dumps(said)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
