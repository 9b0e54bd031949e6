"""The server asks round by round, and waits for no site longer than it was told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

from nvflare.apis.controller_spec import Task, TaskCompletionStatus
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from engine.archive.federation import FOLDER_VARIABLE, read_lines
from engine.archive.run_folder import write_wish
from engine.catalogue.federations import federated
from engine.federated.flare.controller import RoundsController
from engine.federated.flare.messages import JUDGE, OWN, PREPARE, TRAIN, pack, unpack
from engine.federated.run_keeper import Terms, write_order
from engine.federated.sharing import decode, encode
from engine.federated.site_order import SiteOrder
from engine.system import Federation, Part
from tests.engine.training.tiny import TINY

_RULE = Federation(("a", "b"), 2, 1, Part("fedavg"), Part("plain"))
_TINY = replace(TINY, heads=(Part("segmentation"),), localiser=None, subtypes=())
_SYSTEM = replace(federated(_TINY, _RULE, "tiny", "Tiny", "none"), sizes={})
_REFUSAL = pack({"message": "The disk is full.", "remedy": "Free some space."})
_TIMES = {"seconds": 1.0, "training_s": 0.5}

Site = Callable[[str, dict[str, Any], dict[str, bytes]], Shareable | None]
"""Answers (task, values, models); None says nothing."""


def good(task: str, values: dict[str, Any], models: dict[str, bytes]) -> Shareable:
    if task == TRAIN:
        numbers = {name: torch.zeros_like(each) for name, each in decode(models["common"]).items()}
        answer = {"loss": 1.0, "num_cases": 2, "validation": {"pancreas": [0.5]}, **_TIMES}
        return pack(answer, {"update": encode(numbers)})
    if task == OWN:
        return pack({}, {"update": models.get("common", b"")})
    return pack({"scores": {name: {"pancreas": [0.5]} for name in models}})


def silent(*_: object) -> None:
    return None


def refusing(*_: object) -> Shareable:
    return _REFUSAL


class Server(RoundsController):
    """The controller without FLARE: its sites answer at once, or never."""

    def __init__(self, sites: dict[str, Site]) -> None:
        super().__init__("first")
        self.sites = sites
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    def broadcast(self, task: Task, fl_ctx: Any, targets: Any = None, **_: Any) -> None:  # type: ignore[override]
        values, models = unpack(task.data)
        self.asked.append(task.name)
        num_answers = 0
        for name in targets:
            result = self.sites[name](task.name, values, models)
            if result is not None:
                num_answers += 1
                told = SimpleNamespace(client=SimpleNamespace(name=name), result=result)
                task.result_received_cb(told, fl_ctx)
        if num_answers == len(targets):
            task.completion_status = TaskCompletionStatus.OK

    def cancel_task(self, task: Task, *_: Any, **__: Any) -> None:  # type: ignore[override]
        self.cancelled.append(task.name)

    def serve(self, abort: Signal | None = None) -> None:
        clients = [SimpleNamespace(name=name) for name in self.sites]
        engine = SimpleNamespace(get_clients=lambda: clients)
        context: Any = SimpleNamespace(get_engine=lambda: engine)
        self.start_controller(context)
        self.control_flow(abort or Signal(), context)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    place = tmp_path / "runs" / "first"
    write_order(place, SiteOrder("first", _SYSTEM, "toy", 1), Terms(1, 0.2, 0.0))
    return place


def _rounds(place: Path) -> list[dict[str, Any]]:
    path = place / "rounds.jsonl"
    return list(read_lines(path)) if path.exists() else []


def _missing(place: Path) -> list[tuple[int, str, str]]:
    events = read_lines(place / "events.jsonl")
    return [(e["round"], e["site"], e["message"]) for e in events if e["event"] == "missing"]


def test_a_run_goes_from_its_first_round_to_its_table(place: Path) -> None:
    server = Server({"a": good, "b": good})
    server.serve()
    assert server.asked == [PREPARE, TRAIN, TRAIN, JUDGE, OWN, JUDGE]
    told = [e["event"] for e in read_lines(place / "events.jsonl")]
    assert told.index("preparing") < told.index("begun")
    assert server.cancelled == []
    assert [record["missing"] for record in _rounds(place)] == [[], []]
    assert (place / "result.json").is_file()


def test_a_silent_site_is_waited_for_no_longer_than_the_grace(place: Path) -> None:
    server = Server({"a": good, "b": silent})
    server.serve()
    assert server.cancelled[:3] == [PREPARE, TRAIN, TRAIN]
    assert [record["missing"] for record in _rounds(place)] == [["b"], ["b"]]
    assert _missing(place)[0] == (1, "b", "The site did not answer in time.")
    assert (place / "result.json").is_file()


def test_a_round_that_nobody_can_train_ends_the_job_and_loses_nothing(place: Path) -> None:
    server = Server({"a": refusing, "b": refusing})
    server.serve()
    assert server.asked == [PREPARE, TRAIN]
    assert _rounds(place) == []
    assert not (place / "result.json").exists()
    (told,) = [e for e in read_lines(place / "events.jsonl") if e["event"] == "too_few"]
    assert told["sites"] == []
    # Once the sites can, another job goes on.
    Server({"a": good, "b": good}).serve()
    assert len(_rounds(place)) == 2


def test_a_round_has_an_end_though_too_few_have_answered(place: Path) -> None:
    write_order(place, SiteOrder("first", _SYSTEM, "toy", 1), Terms(2, 60.0, 0.3))
    server = Server({"a": good, "b": silent})
    server.serve()
    assert server.cancelled == [PREPARE, TRAIN]
    assert _rounds(place) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (make_reply(ReturnCode.EXECUTION_EXCEPTION), "The site could not do what it was asked."),
        (Shareable(), "The site answered in a way that is not understood."),
        (_REFUSAL, "The disk is full."),
    ],
)
def test_what_a_site_cannot_do_is_told_and_the_others_go_on(
    place: Path, answer: Shareable, said: str
) -> None:
    Server({"a": good, "b": lambda *_: answer}).serve()
    assert _missing(place)[0] == (1, "b", said)
    assert len(_rounds(place)) == 2


def test_a_run_that_is_to_stop_asks_no_more_and_keeps_its_rounds(place: Path) -> None:
    def stops(task: str, values: dict[str, Any], models: dict[str, bytes]) -> Shareable | None:
        if values["round"] == 2:
            write_wish(place, "stop")
            return None
        return good(task, values, models)

    server = Server({"a": stops, "b": silent})
    server.serve()
    assert server.cancelled[-1] == TRAIN
    assert len(_rounds(place)) == 1
    assert not (place / "result.json").exists()


def test_an_aborted_job_leaves_the_run_as_it_is(place: Path) -> None:
    abort = Signal()
    abort.trigger(None)
    server = Server({"a": silent, "b": silent})
    server.serve(abort)
    assert server.asked == [PREPARE]
    assert _rounds(place) == []
