from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from engine.archive.federation import EVENTS_FILE, read_lines
from engine.federated.site_order import SiteOrder
from engine.federated.step_teller import StepTeller
from engine.system import Federation, Part
from engine.training.follow import StepRecord
from tests.engine.training.tiny import TINY

_STEP_S = 0.1
_RULE = Federation(("north",), 3, 2, Part("fedavg"), Part("plain"), 1.0)


def _told(folder: Path, monkeypatch: pytest.MonkeyPatch, *, hours: float) -> list[int]:
    """Return which steps of a long round stand in the events."""
    moment = 1000.0
    monkeypatch.setattr("engine.federated.step_teller.time.monotonic", lambda: moment)
    order = SiteOrder("first", replace(TINY, federation=_RULE), "full", 1)
    teller = StepTeller(folder, order, 2)
    num_steps = round(hours * 3600 / _STEP_S)
    for step in range(1, num_steps + 1):
        moment += _STEP_S
        teller.on_step(StepRecord("tiny", 3, 6, step, num_steps, {}, {}, None))
    events = read_lines(folder / EVENTS_FILE)
    assert {(e["event"], e["round"], e["rounds"], e["epoch"]) for e in events} == {
        ("step", 2, 3, 1)
    }
    return [event["step"] for event in events]


def test_a_short_round_is_told_twice_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _told(tmp_path, monkeypatch, hours=1 / 60)
    assert 60 / 0.6 <= len(steps) <= 60 / 0.5 + 1


def test_a_round_of_hours_leaves_a_small_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _told(tmp_path, monkeypatch, hours=4)
    waits = [(later - earlier) * _STEP_S for earlier, later in pairwise(steps)]
    assert len(steps) < 1500
    assert max(waits) <= 30.0 + _STEP_S
