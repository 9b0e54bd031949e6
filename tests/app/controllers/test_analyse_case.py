from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
from pytestqt.qtbot import QtBot

from app.controllers.analyse_case import AnalyseCase
from app.controllers.review_files import ReviewFiles
from app.session import Session
from app.tasks.engine_process import EngineProcess
from engine.errors import CancelledError, IsletError
from engine.finding import Review
from engine.volume import Remark
from tests.app.controllers.conftest import FakeWindow
from tests.app.make import make_case, make_prediction


class Bench:
    """An analyser with an engine that answers when a test says so."""

    def __init__(self, window: FakeWindow) -> None:
        self.session = Session()
        self.session.choose_system("starter")
        self.window = window
        self.engine = Mock(spec=EngineProcess)
        self.engine.predict.return_value = 7
        self.reviews = Mock(spec=ReviewFiles)
        self.reviews.restore.side_effect = lambda prediction: prediction.findings
        self.show_error = Mock()
        self.analyser = AnalyseCase(
            self.session, window, self.engine, self.reviews, show_error=self.show_error
        )
        self.session.open_case(make_case())

    @property
    def answers(self) -> dict:
        return self.engine.predict.call_args.kwargs


@pytest.fixture
def bench(fake_window: FakeWindow) -> Bench:
    return Bench(fake_window)


def test_the_engine_is_asked_with_the_chosen_system(bench: Bench) -> None:
    bench.analyser.analyse()
    case, system = bench.engine.predict.call_args.args
    assert case is bench.session.case
    assert system == "starter"
    bench.window.begin_job.assert_called_once_with("Finding lesions")


def test_the_answer_is_shown_and_the_job_ends(bench: Bench) -> None:
    bench.analyser.analyse()
    bench.answers["on_success"](make_prediction())
    assert bench.session.prediction is not None
    assert not bench.analyser.is_running
    bench.window.end_job.assert_called_once()


def test_earlier_decisions_are_shown_with_the_answer(bench: Bench) -> None:
    prediction = make_prediction(num_findings=1)
    decided = (replace(prediction.findings[0], review=Review.CONFIRMED),)
    bench.reviews.restore.side_effect = lambda _prediction: decided
    bench.analyser.analyse()
    bench.answers["on_success"](prediction)
    assert bench.session.findings == decided


def test_a_case_that_is_unsafe_is_not_analysed_and_the_reason_is_told(bench: Bench) -> None:
    remark = Remark("Two slices are missing.", blocks_analysis=True)
    bench.session.open_case(make_case(remarks=(remark,)))
    bench.analyser.analyse()
    bench.engine.predict.assert_not_called()
    (error,) = bench.show_error.call_args.args
    assert error.message == "This case was not analysed. Two slices are missing."
    assert error.remedy.startswith("Export the complete original series")


def test_without_a_case_nothing_is_asked(bench: Bench) -> None:
    bench.session.open_case(None)
    bench.analyser.analyse()
    bench.engine.predict.assert_not_called()


def test_one_analysis_runs_at_a_time(bench: Bench) -> None:
    bench.analyser.analyse()
    bench.analyser.analyse()
    assert bench.engine.predict.call_count == 1


def test_an_error_of_the_engine_is_told(bench: Bench, qtbot: QtBot) -> None:
    error = IsletError("The engine stopped.", remedy="Try again.")
    bench.analyser.analyse()
    with qtbot.waitSignal(bench.analyser.settled):
        bench.answers["on_failure"](error)
    bench.show_error.assert_called_once_with(error)
    assert not bench.analyser.is_running


def test_cancelling_asks_the_engine_to_stop_and_is_no_error(bench: Bench) -> None:
    bench.analyser.analyse()
    bench.analyser.cancel()
    bench.engine.cancel.assert_called_once_with(7)
    bench.answers["on_failure"](CancelledError())
    bench.show_error.assert_not_called()


def test_opening_another_case_stops_the_analysis_of_the_first(bench: Bench) -> None:
    bench.analyser.analyse()
    bench.session.open_case(make_case("b"))
    bench.engine.cancel.assert_called_once_with(7)


def test_a_late_answer_for_a_closed_case_is_dropped(bench: Bench) -> None:
    bench.analyser.analyse()
    bench.session.open_case(make_case("b"))
    bench.answers["on_success"](make_prediction("a"))
    assert bench.session.prediction is None
