"""What a folder of a federation tells, as the window shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    ROUNDS_FILE,
    RUNS_FOLDER,
    SENT_FILE,
    TABLE_FILE,
    is_coordinator,
    is_run,
    is_simulation,
    is_site,
    read_coordinator,
    read_lines,
    read_members,
    read_site,
    runs,
)
from engine.archive.federation_status import count, status_of, told_state
from engine.archive.run_events import EventTail
from engine.archive.run_folder import EVENTS_FILE, LOG_FILE, WEIGHTS_FILE
from engine.errors import IsletError

_LOG_BYTES = 20_000
_MAX_STEPS = 2000
_STAGES = {"check": "Cases are checked", "prepare": "Cases are prepared"}
_KINDS = {"coordinator": "Coordinator", "site": "Site", "simulation": "Simulation"}


@dataclass(frozen=True, slots=True)
class RunTold:
    """One run of a federation.

    Args:
        name: Of its folder.
        state: What it is doing; empty where nobody says.
        message: What happened, where something did.
        remedy: What to do about it.
        records: A record for every finished round.
        rounds: Number of rounds there will be; 0 where it is not known.
        table: Its cross-site table in Markdown; empty before the end.
        sent: What left this site, a row for every round.
        events: Sentences about sites that were missing or came back, newest last.
        has_weights: Whether there is a system to register.
        is_preparing: Whether its sites prepare their cases, before a round.
    """

    name: str
    state: str = ""
    message: str = ""
    remedy: str = ""
    records: tuple[Mapping[str, Any], ...] = ()
    rounds: int = 0
    table: str = ""
    sent: tuple[Mapping[str, Any], ...] = ()
    events: tuple[str, ...] = ()
    has_weights: bool = False
    is_preparing: bool = False


@dataclass(frozen=True, slots=True)
class FederationStory:
    """Everything one folder tells.

    Args:
        folder: Where it lies.
        kind: "coordinator", "site", "simulation" or "broken".
        name: As the list shows it.
        title: What it is, in a few words.
        state: Of its process.
        is_running: Whether a process works in it.
        message: What happened, where something did.
        remedy: What to do about it.
        facts: (name, value) pairs of its settings, and of who the server proved to be.
        members: Names of sites with what they are: "connected", "approved" or "revoked".
        runs: Newest last.
        steps: (round with its fraction, loss) of this site's training.
        log_tail: End of its log.
        has_joined: Whether a site may start.
    """

    folder: Path
    kind: str
    name: str
    title: str = ""
    state: str = "stopped"
    is_running: bool = False
    message: str = ""
    remedy: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    runs: tuple[RunTold, ...] = ()
    steps: tuple[tuple[float, float], ...] = ()
    log_tail: str = ""
    has_joined: bool = True


@dataclass(slots=True)
class _Memory:
    """What the events of a folder told so far.

    Attributes:
        connected: Sites of a server.
        state: The last event "state".
        progress: How far a site has prepared, in words; empty once it does something else.
        run: Of a site, the one it takes part in; what follows is by run.
    """

    records: dict[str, dict[int, Mapping[str, Any]]] = field(
        default_factory=lambda: dict[str, dict[int, Mapping[str, Any]]]()
    )
    rounds: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    events: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())
    steps: list[tuple[float, float]] = field(default_factory=lambda: list[tuple[float, float]]())
    progress: str = ""
    run: str = ""
    server: Mapping[str, Any] | None = None
    state: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    connected: set[str] = field(default_factory=lambda: set[str]())


class FolderReader:
    """Reads one folder again and again, and its events only once.

    Args:
        folder: Of a coordinator, a site or a simulation.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tail = EventTail(folder)
        self._memory = _Memory()

    def read(self) -> FederationStory:
        """Return what the folder tells now; one that cannot be read says so."""
        folder = self._folder
        try:
            if is_coordinator(folder):
                return self._coordinator(self._status())
            if is_site(folder):
                return self._site_story(self._status())
        except IsletError as error:
            return _broken(folder, error.message, error.remedy)
        if is_simulation(folder):
            return self._simulation()
        return _broken(
            folder,
            "This folder is no federation's any more.",
            "Take it off the list, or bring the folder back.",
        )

    def _status(self) -> dict[str, Any]:
        """Hear what is new, and return how the folder's process is."""
        for event in self._tail.read():
            _hear(self._memory, event)
        return told_state(self._memory.state, is_running=runs(self._folder))

    def _coordinator(self, status: Mapping[str, Any]) -> FederationStory:
        folder, known = self._folder, read_coordinator(self._folder)
        connected = self._memory.connected if status["is_running"] else set[str]()
        states = {
            member.name: "revoked"
            if member.revoked
            else "connected"
            if member.name in connected
            else "approved"
            for member in read_members(folder)
        }
        places = sorted(filter(is_run, (folder / RUNS_FOLDER).glob("*")), key=_age)
        return FederationStory(
            folder,
            "coordinator",
            known.name,
            f"Coordinator of {known.name}",
            status["state"],
            status["is_running"],
            status["message"],
            status["remedy"],
            (
                ("Server", f"{known.host}, port {known.port}"),
                ("Authority's fingerprint", known.authority),
                ("Organisation", known.organisation),
            ),
            tuple(states.items()),
            tuple(_run_told(place, status_of(place)) for place in places),
            log_tail=_tail_of(folder / LOG_FILE),
        )

    def _site_story(self, status: Mapping[str, Any]) -> FederationStory:
        folder, site, memory = self._folder, read_site(self._folder), self._memory
        states = ", ".join(f"{name} {state}" for name, state in site.annotation.items())
        facts = [
            ("Site", f"{site.name}, {site.organisation}"),
            ("Key's fingerprint", site.fingerprint),
            ("Data set", site.data or "not named yet"),
            ("Annotation", states or "as the data set says"),
            ("Leaves at most", f"{site.share_at_most:.0%} of an update"),
        ]
        if memory.server is not None:
            said = memory.server
            facts += [
                ("Server proved to be", f"{said.get('name')}, {said.get('organisation')}"),
                ("Server's fingerprint", str(said.get("fingerprint"))),
                ("Its certificate ends", str(said.get("expires"))[:10]),
            ]
        told = tuple(
            RunTold(
                name,
                records=tuple(memory.records.get(name, {}).values()),
                rounds=memory.rounds[name],
                sent=read_lines(folder / RUNS_FOLDER / name / SENT_FILE),
                events=tuple(memory.events.get(name, ())),
            )
            for name in memory.rounds
        )
        title = f"Site of {site.federation}"
        return FederationStory(
            folder,
            "site",
            site.name,
            title if site.authority else f"{title}, not joined yet",
            status["state"],
            status["is_running"],
            status["message"] or (memory.progress if status["is_running"] else ""),
            status["remedy"],
            tuple(facts),
            (),
            told,
            tuple(memory.steps),
            _tail_of(folder / LOG_FILE),
            has_joined=bool(site.authority),
        )

    def _simulation(self) -> FederationStory:
        folder = self._folder
        places = sorted((folder / RUNS_FOLDER).glob("*"), key=_age)
        table = _text(folder / TABLE_FILE)
        found = tuple(
            RunTold(place.name, records=read_lines(place / ROUNDS_FILE), table=table)
            for place in places
        )
        is_running = runs(folder)
        state = "finished" if table else "running" if is_running else "stopped"
        return FederationStory(
            folder,
            "simulation",
            folder.name,
            "Simulation on this computer",
            state,
            is_running,
            runs=found,
            log_tail=_tail_of(folder / LOG_FILE),
        )


def _hear(memory: _Memory, event: Mapping[str, Any]) -> None:
    """Take in one event; one that makes no sense is passed over."""
    count(memory.connected, event)
    listen = _LISTENERS.get(str(event.get("event")))
    if listen is None:
        return
    try:
        listen(memory, str(event.get("run", "")), event)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return


def _hear_state(memory: _Memory, _run: str, event: Mapping[str, Any]) -> None:
    memory.state, memory.progress = event, ""


def _hear_progress(memory: _Memory, _run: str, event: Mapping[str, Any]) -> None:
    memory.progress = f"{_STAGES[event['stage']]}: {event['fraction']:.0%}."


def _hear_server(memory: _Memory, _run: str, event: Mapping[str, Any]) -> None:
    memory.server = event


def _hear_job(memory: _Memory, run: str, event: Mapping[str, Any]) -> None:
    if run != memory.run:
        memory.run, memory.steps = run, []
    memory.rounds[run] = int(event["rounds"])


def _hear_record(memory: _Memory, run: str, event: Mapping[str, Any]) -> None:
    record = event["record"]
    memory.records.setdefault(run, {})[int(record["round"])] = record


def _hear_step(memory: _Memory, _run: str, event: Mapping[str, Any]) -> None:
    share = (event["epoch"] - 1 + event["step"] / event["steps"]) / event["epochs"]
    loss = float(sum(event["losses"].values()))
    memory.steps.append((event["round"] - 1 + float(share), loss))
    if len(memory.steps) > _MAX_STEPS:
        memory.steps[:] = memory.steps[::2]


def _hear_words(memory: _Memory, run: str, event: Mapping[str, Any]) -> None:
    text = str(event.get("text") or f"{event['message']} {event['remedy']}")
    memory.events.setdefault(run, []).append(text)


_LISTENERS = {
    "state": _hear_state,
    "progress": _hear_progress,
    "server": _hear_server,
    "job": _hear_job,
    "federation": _hear_record,
    "step": _hear_step,
    "missed": _hear_words,
    "alarm": _hear_words,
}


def _run_told(place: Path, status: Mapping[str, Any]) -> RunTold:
    events: list[str] = []
    rounds, is_preparing = 0, False
    for event in read_lines(place / EVENTS_FILE):
        kind = event.get("event")
        if kind in ("preparing", "begun"):
            rounds, is_preparing = int(event.get("rounds", 0)), kind == "preparing"
        elif kind == "missing":
            said = f"Round {event.get('round')}: {event.get('site')} is missing."
            events.append(f"{said} {event.get('message')}")
        elif kind == "returned":
            events.append(f"{event.get('site')} is back.")
        elif kind == "alarm":
            events.append(str(event.get("text")))
    return RunTold(
        str(status["run"]),
        str(status["state"]),
        str(status["message"]),
        str(status["remedy"]),
        read_lines(place / ROUNDS_FILE),
        rounds,
        _text(place / TABLE_FILE),
        (),
        tuple(events),
        (place / WEIGHTS_FILE).is_file(),
        is_preparing,
    )


def _age(place: Path) -> float:
    try:
        return min(path.stat().st_mtime for path in place.iterdir())
    except (OSError, ValueError):
        return 0.0


def _broken(folder: Path, message: str, remedy: str) -> FederationStory:
    return FederationStory(
        folder, "broken", folder.name, "Cannot be read", "failed", message=message, remedy=remedy
    )


def kind_text(story: FederationStory) -> str:
    """Return what a folder is, as a word."""
    return _KINDS.get(story.kind, "Folder")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _tail_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def is_federation(folder: Path) -> bool:
    """Return whether a folder is one that the window can follow."""
    return is_coordinator(folder) or is_site(folder) or is_simulation(folder)
