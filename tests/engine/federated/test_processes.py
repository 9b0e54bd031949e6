"""A process that is followed, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.archive.federation import FederationFolderError, claim, read_lines, runs
from engine.archive.run_folder import write_json
from engine.errors import IsletError
from engine.federated.flare.log_lines import Ear, State
from engine.federated.kits.faults import PortTakenError, RevokedError
from engine.federated.processes import (
    DidNotStartError,
    EndedError,
    Service,
    end_leftovers,
    end_process,
    follow,
)

_STAYS = "import time; time.sleep(60)"
_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_STAYS!r}])"


class Words:
    """Takes the words of a process for its state."""

    def __init__(self) -> None:
        self._state: State = "starting"

    def hear(self, line: str) -> None:
        word = line.strip()
        if word == "revoked":
            raise RevokedError
        if word in ("online", "offline"):
            self._state = word

    def state(self) -> State:
        return self._state


def _service(
    folder: Path,
    program: str,
    diagnose: Callable[[], IsletError | None] = lambda: None,
    listen: Callable[[], Ear] = Words,
) -> Service:
    return Service(folder, "site", [sys.executable, "-u", "-c", program], listen, diagnose)


def _states(folder: Path) -> list[str]:
    return [str(each["state"]) for each in _told(folder, "state")]


def _told(folder: Path, event: str) -> list[dict[str, Any]]:
    return [each for each in read_lines(folder / "events.jsonl") if each["event"] == event]


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    # Other tests of this process may have left theirs, e.g. Python's own tracker of resources.
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [each for each in psutil.Process().children(recursive=True) if each not in before]
    for process in left:
        process.kill()
    assert left == []


def _interrupt_at(state: str, number: signal.Signals) -> Callable[[str], None]:
    def on_state(now: str) -> None:
        if now == state:
            os.kill(os.getpid(), number)

    return on_state


def test_states_are_told_and_sigterm_ends_all_of_the_group(tmp_path: Path) -> None:
    folder = tmp_path / "Klinik mit Leerzeichen"
    folder.mkdir()
    program = f"{_CHILD}; print('online'); {_STAYS}"
    follow(_service(folder, program), _interrupt_at("online", signal.SIGTERM))
    assert _states(folder) == ["starting", "online", "stopping", "stopped"]
    assert (folder / "log.txt").read_text() == "online\n"


def test_ctrl_c_ends_it_as_well_and_is_passed_on(tmp_path: Path) -> None:
    program = f"print('online'); {_STAYS}"
    with pytest.raises(KeyboardInterrupt):
        follow(_service(tmp_path, program), _interrupt_at("online", signal.SIGINT))
    assert _states(tmp_path)[-1] == "stopped"


def test_one_that_does_not_heed_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.federated.processes._PATIENCE_S", 0.3)
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f" print('online', flush=True); {_STAYS}"
    )
    follow(_service(tmp_path, program), _interrupt_at("online", signal.SIGTERM))
    assert _states(tmp_path)[-1] == "stopped"


def test_a_server_that_goes_away_and_comes_back_is_said(tmp_path: Path) -> None:
    program = (
        "import time\nfor word in ('online', 'offline', 'online', 'offline'):\n"
        f"    print(word, flush=True); time.sleep(0.5)\n{_STAYS}"
    )
    seen: list[str] = []

    def on_state(now: str) -> None:
        seen.append(now)
        if seen.count("offline") == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    follow(_service(tmp_path, program), on_state)
    assert _states(tmp_path)[1:5] == ["online", "offline", "online", "offline"]
    (offline, _) = [each for each in _told(tmp_path, "state") if each["state"] == "offline"]
    assert offline["message"] == "The server of the federation does not answer."
    assert offline["remedy"].startswith("The site goes on by itself")


def test_silence_is_a_failure_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.federated.processes._SILENT_S", 0.5)
    with pytest.raises(PortTakenError):
        follow(_service(tmp_path, _STAYS, lambda: PortTakenError(8002)), lambda _: None)
    last = _told(tmp_path, "state")[-1]
    assert (last["state"], last["message"]) == (
        "failed",
        "Port 8002 of this computer is in use already.",
    )


def test_silence_without_a_cause_names_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.federated.processes._SILENT_S", 0.5)
    with pytest.raises(DidNotStartError) as caught:
        follow(_service(tmp_path, _STAYS), lambda _: None)
    assert caught.value.message == "The site did not start."
    assert "log in its folder" in caught.value.remedy


def test_one_that_ends_soon_is_not_begun_again(tmp_path: Path) -> None:
    with pytest.raises(EndedError) as caught:
        follow(_service(tmp_path, "print('online')"), lambda _: None)
    assert caught.value.message == "The site ended by itself."
    assert _states(tmp_path) == ["starting", "online", "failed"]


def test_one_that_was_up_for_a_while_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.federated.processes._UP_FOR_S", 0.2)
    program = "import time; print('online', flush=True); time.sleep(0.6)"
    seen: list[str] = []

    def on_state(now: str) -> None:
        seen.append(now)
        if seen.count("online") == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    follow(_service(tmp_path, program), on_state)
    assert seen[:4] == ["starting", "online", "starting", "online"]
    (alarm,) = _told(tmp_path, "alarm")
    assert alarm["text"] == "The process of the site ended, and is begun again."


def test_one_that_may_not_go_on_is_ended(tmp_path: Path) -> None:
    program = f"import time; print('online'); time.sleep(0.3); print('revoked'); {_STAYS}"
    with pytest.raises(RevokedError):
        follow(_service(tmp_path, program), lambda _: None)
    assert _states(tmp_path) == ["starting", "online", "failed"]


_FOLLOWER = """
import sys
from pathlib import Path
from engine.archive.federation import claim
from tests.engine.federated.test_processes import _service
from engine.federated.processes import follow
folder = Path(sys.argv[1])
claim(folder)
follow(_service(folder, sys.argv[2]), lambda state: print(state, flush=True))
"""


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that follows one that does not heed SIGTERM, and a child of that."""
    program = (
        f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_CHILD};"
        f" print('online', flush=True); {_STAYS}"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", _FOLLOWER, str(tmp_path), program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["starting\n", "online\n"]
        yield process
        process.kill()


def test_a_second_process_is_refused_and_a_first_one_ended(
    tmp_path: Path, follower: subprocess.Popen[str]
) -> None:
    with pytest.raises(FederationFolderError) as caught:
        claim(tmp_path)
    assert caught.value.message == "Another process already works in this folder."
    assert "islet federate stop" in caught.value.remedy
    left = psutil.Process(follower.pid).children(recursive=True)
    assert len(left) == 2
    assert end_process(tmp_path)
    assert _gone(left)
    assert not runs(tmp_path)
    assert not end_process(tmp_path)


def test_what_a_killed_follower_left_is_ended_by_the_next(
    tmp_path: Path, follower: subprocess.Popen[str]
) -> None:
    left = psutil.Process(follower.pid).children(recursive=True)
    follower.kill()
    follower.wait()
    assert not runs(tmp_path)
    assert all(process.is_running() for process in left)
    claim(tmp_path)
    assert end_leftovers(tmp_path)
    assert _gone(left)


def test_a_number_that_another_process_has_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _STAYS], start_new_session=True) as other:
        started = {"pid_started": 1.0, "group": other.pid, "group_started": 1.0}
        write_json(tmp_path / "process.json", {"pid": other.pid, **started})
        assert not end_process(tmp_path)
        assert other.poll() is None
        other.kill()


def _gone(processes: list[psutil.Process]) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        time.sleep(0.05)
    return False
