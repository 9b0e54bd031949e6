from __future__ import annotations

from unittest.mock import Mock

import pytest
from pytestqt.qtbot import QtBot

from app.controllers.review_files import ReviewFiles
from app.controllers.review_findings import ReviewFindings
from app.session import Session
from engine.finding import Review
from tests.app.make import make_case, make_prediction


class Desk:
    """A reader's desk: a session with two findings, and an answer to the question why."""

    def __init__(self) -> None:
        self.session = Session()
        self.reviews = Mock(spec=ReviewFiles)
        self.ask = Mock(return_value="Vessel")
        self.reader = ReviewFindings(self.session, self.reviews, ask_reason=self.ask)
        self.session.open_case(make_case())
        self.session.show_prediction(make_prediction())

    @property
    def states(self) -> list[Review]:
        return [finding.review for finding in self.session.findings]

    @property
    def selected_id(self) -> str | None:
        return self.session.selected.finding_id if self.session.selected else None


@pytest.fixture
def desk(qtbot: QtBot) -> Desk:
    return Desk()


def test_stepping_begins_at_the_first_finding_and_goes_round(desk: Desk) -> None:
    seen = []
    for _ in range(3):
        desk.reader.step(1)
        seen.append(desk.selected_id)
    assert seen == ["lesion-1", "lesion-2", "lesion-1"]


def test_stepping_back_begins_at_the_last_finding(desk: Desk) -> None:
    desk.reader.step(-1)
    assert desk.selected_id == "lesion-2"


def test_accepting_goes_on_to_the_next_undecided_finding(desk: Desk) -> None:
    desk.reader.step(1)
    desk.reader.accept()
    assert desk.states == [Review.CONFIRMED, Review.PROPOSED]
    assert desk.selected_id == "lesion-2"


def test_the_last_decision_stays_on_its_finding(desk: Desk) -> None:
    desk.reader.step(1)
    desk.reader.accept()
    desk.reader.accept()
    assert desk.states == [Review.CONFIRMED, Review.CONFIRMED]
    assert desk.selected_id == "lesion-2"


def test_rejecting_asks_for_the_reason_and_keeps_it(desk: Desk) -> None:
    desk.reader.step(1)
    desk.reader.reject()
    desk.ask.assert_called_once_with(None, "lesion 1")
    assert desk.session.findings[0].review is Review.REJECTED
    assert desk.session.findings[0].reason == "Vessel"


def test_a_reader_who_changes_their_mind_rejects_nothing(desk: Desk) -> None:
    desk.ask.return_value = None
    desk.reader.step(1)
    desk.reader.reject()
    assert desk.states == [Review.PROPOSED, Review.PROPOSED]


def test_without_a_selected_finding_nothing_is_decided(desk: Desk) -> None:
    desk.reader.accept()
    desk.reader.reject()
    assert desk.states == [Review.PROPOSED, Review.PROPOSED]
    desk.ask.assert_not_called()


def test_every_decision_and_its_undoing_is_saved(desk: Desk) -> None:
    desk.reader.step(1)
    desk.reader.accept()
    assert desk.reviews.save.call_args.args[1][0].review is Review.CONFIRMED
    desk.reader.verbs()["edit.undo"]()
    assert desk.reviews.save.call_args.args[1][0].review is Review.PROPOSED
    desk.reader.verbs()["edit.redo"]()
    assert desk.reviews.save.call_args.args[1][0].review is Review.CONFIRMED
