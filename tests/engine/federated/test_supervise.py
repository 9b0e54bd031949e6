"""A run is seen to its end by as many jobs of FLARE as it takes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.archive.federation import (
    Coordinator,
    Member,
    read_lines,
    tell,
    write_coordinator,
    write_members,
)
from engine.archive.federation_status import status_of
from engine.archive.run_folder import write_wish
from engine.errors import CancelledError, IsletError
from engine.federated import supervise as module
from engine.federated.supervise import (
    NoProgressError,
    NoServerError,
    Run,
    TooFewSitesError,
    supervise,
)


class Flare:
    """A server whose jobs do what they are told.

    Args:
        folder: The coordinator's.
        jobs: What happens in every job, in their order.
        sites: That are connected.
    """

    def __init__(
        self, folder: Path, jobs: list[Callable[[], bool]], sites: tuple[str, ...] = ("a", "b")
    ) -> None:
        self.folder = folder
        self.jobs = jobs
        self.sites = sites
        self.submitted: list[tuple[str, ...]] = []
        self.aborted = 0

    @contextlib.contextmanager
    def login(self, _folder: Path) -> Iterator[Flare]:
        yield self

    def connected(self) -> tuple[str, ...]:
        return self.sites

    def submit(self, folder: Path) -> str:
        meta = json.loads((folder / "meta.json").read_bytes())
        self.submitted.append(tuple(meta["deploy_map"]["islet"][1:]))
        return str(len(self.submitted))

    def is_over(self, job_id: str) -> bool:
        return self.jobs[int(job_id) - 1]()

    def abort(self, job_id: str) -> None:
        self.aborted += 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    write_coordinator(tmp_path, Coordinator("trial", "localhost", 1, "AB", "klinik", "now"))
    members = [Member(name, "klinik", "AB", "now", "then") for name in ("a", "b", "c")]
    members.append(Member("out", "klinik", "AB", "now", "then", "now"))
    write_members(tmp_path, tuple(members))
    place = tmp_path / "runs" / "first"
    place.mkdir(parents=True)
    terms = {"min_sites": 2, "grace_s": 1.0, "round_timeout_s": 0.0}
    order = {"format": "islet-site-order-1", "run": "first", "size": "toy", "seed": 1,
             "remembers_unsent": False, "system": {}}  # fmt: skip
    (place / "order.json").write_text(json.dumps({"order": order, "terms": terms}))
    monkeypatch.setattr(module, "read_order", lambda _: (None, module_terms(terms)))
    return tmp_path


def module_terms(values: dict[str, float]) -> object:
    from engine.federated.run_keeper import Terms

    return Terms(**values)  # type: ignore[arg-type]


def _round(folder: Path) -> None:
    with (folder / "runs" / "first" / "rounds.jsonl").open("a") as file:
        file.write(json.dumps({"round": 1}) + "\n")


def _finishes(folder: Path) -> Callable[[], bool]:
    def job() -> bool:
        (folder / "runs" / "first" / "result.json").write_text("{}")
        return True

    return job


def _run(folder: Path, flare: Flare, wait_s: float = 0.2) -> None:
    supervise(Run(folder, "first", wait_s), flare.login)


def _alarms(folder: Path) -> list[str]:
    events = read_lines(folder / "runs" / "first" / "events.jsonl")
    return [event["text"] for event in events if event["event"] == "alarm"]


def test_one_job_is_enough_where_nothing_happens(folder: Path) -> None:
    # A revoked site is not taken along, though FLARE still knows it.
    flare = Flare(folder, [_finishes(folder)], ("a", "b", "out"))
    _run(folder, flare)
    assert flare.submitted == [("a", "b")]
    assert status_of(folder / "runs" / "first")["state"] == "finished"


def test_a_job_that_ends_early_is_followed_by_another(folder: Path) -> None:
    def ends() -> bool:
        _round(folder)
        return True

    flare = Flare(folder, [ends, ends, _finishes(folder)])
    _run(folder, flare)
    assert len(flare.submitted) == 3


def test_a_run_that_does_not_get_on_is_given_up_with_a_sentence(folder: Path) -> None:
    flare = Flare(folder, [lambda: True] * 5)
    with pytest.raises(NoProgressError, match="does not get on: the job ended early") as caught:
        _run(folder, flare)
    assert "Nothing is lost" in caught.value.remedy
    assert status_of(folder / "runs" / "first")["state"] == "failed"


def test_a_restarted_server_gets_a_new_job(folder: Path) -> None:
    def restarts() -> bool:
        _round(folder)
        tell(folder, "state", state="online")
        return False

    flare = Flare(folder, [restarts, _finishes(folder)])
    _run(folder, flare)
    assert len(flare.submitted) == 2
    assert "The server was restarted; the run goes on." in _alarms(folder)


def test_a_server_that_does_not_answer_is_waited_for(folder: Path) -> None:
    def gone() -> bool:
        _round(folder)
        raise ConnectionError

    flare = Flare(folder, [gone, _finishes(folder)])
    _run(folder, flare)
    assert _alarms(folder) == ["The server does not answer; it is waited for."]

    @contextlib.contextmanager
    def login(_folder: Path) -> Iterator[Flare]:
        raise NoServerError
        yield flare

    (folder / "runs" / "first" / "result.json").unlink()
    with pytest.raises(NoServerError, match="does not answer"):
        supervise(Run(folder, "first", 0.05), login)


def test_a_site_that_comes_back_is_let_in_between_two_rounds(folder: Path) -> None:
    control = folder / "runs" / "first" / "control"
    told: list[str] = []

    def returns() -> bool:
        if not told:
            tell(folder, "connected", site="c")
            told.append("")
            return False
        told.append(control.read_text().strip())
        _round(folder)
        flare.sites = ("a", "b", "c")
        return True

    flare = Flare(folder, [returns, _finishes(folder)])
    _run(folder, flare)
    assert told == ["", "regroup"]
    assert flare.submitted == [("a", "b"), ("a", "b", "c")]


def test_too_few_sites_are_named_and_nothing_is_lost(folder: Path) -> None:
    def leaves() -> bool:
        tell(folder, "disconnected", site="b")
        flare.sites = ("a",)
        return False

    flare = Flare(folder, [leaves])
    _round(folder)
    with pytest.raises(TooFewSitesError) as caught:
        _run(folder, flare)
    assert caught.value.message == "Only 1 of the 2 sites that are needed are connected (a)."
    assert flare.aborted == 1
    assert "Too few sites are left; the others are waited for." in _alarms(folder)
    assert len(read_lines(folder / "runs" / "first" / "rounds.jsonl")) == 1


def test_a_run_stops_at_once_when_asked(folder: Path) -> None:
    def stops() -> bool:
        write_wish(folder / "runs" / "first", "stop")
        return False

    flare = Flare(folder, [stops])
    with pytest.raises(CancelledError):
        _run(folder, flare)
    assert flare.aborted == 1
    assert status_of(folder / "runs" / "first")["state"] == "stopped"


def test_every_sentence_says_what_to_do() -> None:
    errors: tuple[IsletError, ...] = (
        TooFewSitesError((), 2), NoServerError(), NoProgressError("why.")
    )  # fmt: skip
    for error in errors:
        assert error.remedy.startswith("Nothing is lost.")
