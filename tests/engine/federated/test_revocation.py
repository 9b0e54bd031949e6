"""A site that is revoked while a run goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.archive.federation import (
    RESULT_FILE,
    Coordinator,
    Member,
    read_lines,
    read_members,
    revoked,
    with_member,
    write_coordinator,
    write_members,
)
from engine.federated import supervise as supervising
from engine.federated.local import tensors_of
from engine.federated.members import first_network
from engine.federated.run_keeper import Answer, RunKeeper, Terms, write_order
from engine.federated.sharing import encode
from engine.federated.site_order import SiteOrder
from engine.federated.supervise import Run, supervise
from engine.system import Federation, Part
from tests.engine.training.tiny import TINY

_TINY = replace(TINY, heads=(Part("segmentation"),), localiser=None, subtypes=())
_RULE = Federation(("north", "south"), 2, 1, Part("fedavg"), Part("plain"), 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_coordinator(tmp_path, Coordinator("trial", "localhost", 8002, "AA", "x", "2026-01-01"))
    members = (Member(name, "x", name, "2026-01-01", "2029-01-01") for name in ("north", "south"))
    write_members(tmp_path, tuple(members))
    return tmp_path


def _order() -> SiteOrder:
    return SiteOrder("first", replace(_TINY, federation=_RULE), "full", 1)


def _send_away(folder: Path, name: str) -> None:
    members = read_members(folder)
    (member,) = [each for each in members if each.name == name]
    write_members(folder, with_member(members, revoked(member)))


class Admin:
    """A server whose second job finishes the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.done: list[str] = []

    def connected(self) -> tuple[str, ...]:
        return ("north", "south")

    def submit(self, _: Path) -> str:
        self.done.append("submit")
        if self.done.count("submit") == 1:
            _send_away(self._folder, "south")
        else:
            (self._folder / "runs" / "first" / RESULT_FILE).write_text("{}")
        return f"job {self.done.count('submit')}"

    def is_over(self, _: str) -> bool:
        return False

    def abort(self, job_id: str) -> None:
        self.done.append(f"abort {job_id}")

    def disable(self, _: str) -> None:
        raise AssertionError


def test_a_job_with_a_revoked_site_makes_way_for_one_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_LOOK_EVERY_S", 0.01)
    place = folder / "runs" / "first"
    write_order(place, _order(), Terms(min_sites=1))
    admin = Admin(folder)

    @contextlib.contextmanager
    def login(_: Path) -> Iterator[Admin]:
        yield admin

    supervise(Run(folder, "first"), login)
    assert admin.done == ["submit", "abort job 1", "submit", "abort job 2"]
    told = read_lines(place / "events.jsonl")
    jobs = [each["sites"] for each in told if each["event"] == "job"]
    assert jobs == [["north", "south"], ["north"]]
    (alarm,) = [each["text"] for each in told if each["event"] == "alarm"]
    assert alarm == "Revoked: south. The run goes on with the others."


def test_the_answer_of_a_revoked_site_is_not_used(folder: Path) -> None:
    place = folder / "runs" / "first"
    order = _order()
    write_order(place, order, Terms(min_sites=1))
    keeper = RunKeeper(place)
    model = tensors_of(first_network(order.system, size=order.size, seed=order.seed))
    update = encode({name: tensor * 0 for name, tensor in model.items()})
    values = {"loss": 1.0, "num_cases": 3, "validation": {}, "seconds": 1.0, "training_s": 0.5}
    answers = {name: Answer(values, {"update": update}) for name in ("north", "south")}
    _send_away(folder, "south")

    assert keeper.end_round(1, ["north", "south"], answers)
    (record,) = read_lines(place / "rounds.jsonl")
    assert list(record["losses"]) == ["north"]
    assert record["missing"] == ["south"]
    (missing,) = [e for e in read_lines(place / "events.jsonl") if e["event"] == "missing"]
    assert missing["message"] == "The site was revoked; its answer is not used."
