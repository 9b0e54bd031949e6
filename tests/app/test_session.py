from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.session import DEFAULT_WINDOW_HU, Layer, Session
from engine.case import Case
from engine.finding import Box, Finding, Prediction, Review
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume

_GEOMETRY = from_spacing((4, 6, 8), (3.0, 1.0, 1.0), (-4.0, -3.0, 100.0))
_NAMES = {1: "pancreas", 2: "lesion"}


def _case(case_id: str = "a", *, labels: bool = False) -> Case:
    volume = Volume(np.zeros(_GEOMETRY.shape, np.int16), _GEOMETRY)
    return Case(case_id, volume, labels=_labels() if labels else None)


def _labels() -> LabelMap:
    return LabelMap(np.zeros(_GEOMETRY.shape, np.uint8), _NAMES, _GEOMETRY)


def _finding(number: int) -> Finding:
    centre = (float(number), 1.0, 103.0)
    box = Box((0.0, 0.0, 100.0), (2.0, 2.0, 106.0))
    return Finding(f"lesion-{number}", "lesion", 0.9, centre, box, 100.0, 8.0, 6.0, 55.0, 9.0)


def _prediction(case_id: str = "a") -> Prediction:
    findings = (_finding(1), _finding(2))
    return Prediction(case_id, "starter", _labels(), findings, (0.7, 0.2, 0.1), {}, "00")


@pytest.fixture
def session(qtbot: QtBot) -> Session:
    session = Session()
    session.open_case(_case())
    return session


def test_opening_a_case_puts_the_cursor_in_its_middle(session: Session) -> None:
    assert session.cursor_mm == pytest.approx((0.0, 0.0, 106.0))


def test_a_case_without_its_own_window_opens_with_the_abdomen_preset(session: Session) -> None:
    assert session.window_hu == DEFAULT_WINDOW_HU


def test_a_case_opens_with_the_window_its_file_names(session: Session) -> None:
    session.open_case(replace(_case(), window=(300.0, 60.0)))
    assert session.window_hu == (300.0, 60.0)


def test_a_prediction_for_the_open_case_is_shown(session: Session, qtbot: QtBot) -> None:
    with qtbot.waitSignals([session.prediction_shown, session.findings_changed]):
        assert session.show_prediction(_prediction())
    assert len(session.findings) == 2
    assert [layer.structure for layer in session.layers] == ["pancreas", "lesion"]


def test_late_prediction_for_a_closed_case_is_dropped(session: Session, qtbot: QtBot) -> None:
    session.open_case(_case("b"))
    with qtbot.assertNotEmitted(session.prediction_shown):
        assert not session.show_prediction(_prediction("a"))
    session.open_case(None)
    assert not session.show_prediction(_prediction("a"))


def test_a_prediction_changes_neither_window_nor_cursor(session: Session) -> None:
    session.set_window(250.0, 70.0)
    session.move_cursor((1.0, 2.0, 103.0))
    session.show_prediction(_prediction())
    assert session.window_hu == (250.0, 70.0)
    assert session.cursor_mm == (1.0, 2.0, 103.0)


def test_selecting_a_finding_moves_the_cursor_to_its_centre(session: Session) -> None:
    session.show_prediction(_prediction())
    session.select_finding("lesion-2")
    assert session.selected == _finding(2)
    assert session.cursor_mm == (2.0, 1.0, 103.0)


def test_a_review_can_be_undone_and_redone(session: Session) -> None:
    session.show_prediction(_prediction())
    session.review("lesion-1", Review.REJECTED, "Bowel or stomach")
    assert session.findings[0].reason == "Bowel or stomach"
    session.undo_stack.undo()
    assert session.findings[0].review is Review.PROPOSED
    assert session.findings[0].reason == ""
    session.undo_stack.redo()
    assert session.findings[0].review is Review.REJECTED


def test_the_same_review_twice_is_one_step_of_undo(session: Session) -> None:
    session.show_prediction(_prediction())
    session.review("lesion-1", Review.CONFIRMED)
    session.review("lesion-1", Review.CONFIRMED)
    assert session.undo_stack.count() == 1


def test_reviewing_an_unknown_finding_is_a_mistake_of_the_caller(session: Session) -> None:
    with pytest.raises(KeyError):
        session.review("lesion-9", Review.CONFIRMED)


def test_another_case_forgets_what_could_be_undone(session: Session) -> None:
    session.show_prediction(_prediction())
    session.review("lesion-1", Review.CONFIRMED)
    session.open_case(_case("b"))
    assert not session.undo_stack.canUndo()
    assert session.findings == ()


def test_held_back_overlays_return_as_they_were(session: Session) -> None:
    session.open_case(_case(labels=True))
    session.set_layer(Layer("lesion", filled=False, opacity=0.6))
    before = session.shown_layers
    session.hold_back_overlays(True)
    assert not any(layer.visible or layer.boxes for layer in session.shown_layers)
    session.hold_back_overlays(False)
    assert session.shown_layers == before


def test_choices_for_a_structure_outlive_the_case(session: Session) -> None:
    session.open_case(_case(labels=True))
    session.set_layer(Layer("lesion", outlined=False))
    session.open_case(_case("b"))
    session.show_prediction(_prediction("b"))
    assert session.layers[1] == Layer("lesion", outlined=False)


def test_labels_are_those_of_the_engine_once_there_are_any(session: Session) -> None:
    case = _case(labels=True)
    session.open_case(case)
    assert session.labels is case.labels
    prediction = _prediction()
    session.show_prediction(prediction)
    assert session.labels is prediction.labels
