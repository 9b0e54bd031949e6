from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from app.panels.findings import FindingsPanel, density_text, size_text
from engine.finding import Review
from tests.app.make import make_case, make_finding, make_prediction

_SUBTYPES = ("hypodense solid", "arterially enhancing", "cystic")


@pytest.fixture
def panel(qtbot: QtBot) -> FindingsPanel:
    panel = FindingsPanel()
    qtbot.addWidget(panel)
    panel.show_case(make_case())
    prediction = make_prediction()
    panel.show_prediction(prediction, _SUBTYPES)
    panel.show_findings(prediction.findings)
    return panel


def _texts(widget: QWidget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel) if not label.isHidden()]


def test_a_card_gives_axes_volume_and_density_with_their_units() -> None:
    assert size_text(make_finding()) == "31 × 24 mm   12.3 mL"
    assert density_text(make_finding()) == "55 ± 18 HU"


def test_a_card_of_a_box_says_that_nothing_was_outlined() -> None:
    boxed = replace(make_finding(), volume_mm3=0.0)
    assert size_text(boxed) == "Box 31 × 24 mm   no outline"
    assert density_text(boxed) == "55 ± 18 HU in the box"


def test_a_boxed_finding_can_be_selected_and_decided(panel: FindingsPanel, qtbot: QtBot) -> None:
    boxed = replace(make_finding(2), volume_mm3=0.0)
    panel.show_findings((make_finding(1), boxed))
    panel.show_selected(boxed)
    assert "Box 31 × 24 mm   no outline" in _texts(panel.cards[1])
    accept, _ = panel.cards[1].findChildren(QPushButton)
    with qtbot.waitSignal(panel.accept_requested) as accepted:
        accept.click()
    assert accepted.args == [boxed.finding_id]


def test_a_system_that_looks_for_no_lesions_shows_its_subtypes_alone(panel: FindingsPanel) -> None:
    panel.show_findings(())
    shown = _texts(panel)
    assert {"hypodense solid", "70 %"} <= set(shown)
    assert "This system tells what a lesion is like. It does not look for one." in shown
    assert "No lesion was found. That does not rule one out." not in shown


def test_there_is_a_card_for_every_finding(panel: FindingsPanel) -> None:
    assert [card.finding_id for card in panel.cards] == ["lesion-1", "lesion-2"]
    assert "90 %" in _texts(panel.cards[0])
    assert "Proposed" in _texts(panel.cards[0])


def test_a_rejected_card_says_why(panel: FindingsPanel) -> None:
    rejected = replace(make_finding(), review=Review.REJECTED, reason="Vessel")
    panel.show_findings((rejected,))
    assert {"Rejected", "Vessel"} <= set(_texts(panel.cards[0]))


def test_the_subtypes_of_the_case_are_named_with_their_share(panel: FindingsPanel) -> None:
    assert {"hypodense solid", "70 %", "cystic", "10 %"} <= set(_texts(panel))


def test_the_reader_sees_how_many_findings_are_decided(panel: FindingsPanel) -> None:
    decided = replace(make_finding(1), review=Review.CONFIRMED)
    panel.show_findings((decided, make_finding(2)))
    assert "1 of 2 reviewed" in _texts(panel)


def test_a_click_on_a_card_asks_for_its_finding(panel: FindingsPanel, qtbot: QtBot) -> None:
    panel.show()
    with qtbot.waitSignal(panel.select_requested) as asked:
        qtbot.mouseClick(panel.cards[1], Qt.MouseButton.LeftButton)
    assert asked.args == ["lesion-2"]


def test_only_the_selected_card_offers_decisions(panel: FindingsPanel) -> None:
    panel.show_selected(make_finding(2))
    offered = [
        [button.text() for button in card.findChildren(QPushButton) if button.isVisibleTo(card)]
        for card in panel.cards
    ]
    assert offered == [[], ["Accept", "Reject…"]]


def test_the_buttons_of_a_card_ask_for_its_finding(panel: FindingsPanel, qtbot: QtBot) -> None:
    panel.show_selected(make_finding(1))
    accept, reject = panel.cards[0].findChildren(QPushButton)
    with qtbot.waitSignal(panel.accept_requested) as accepted:
        accept.click()
    with qtbot.waitSignal(panel.reject_requested) as rejected:
        reject.click()
    assert accepted.args == rejected.args == ["lesion-1"]


def test_a_decision_keeps_the_selected_card_open(panel: FindingsPanel) -> None:
    panel.show_selected(make_finding(2))
    panel.show_findings((make_finding(1), replace(make_finding(2), review=Review.CONFIRMED)))
    assert [card.property("selected") for card in panel.cards] == [False, True]


def test_finding_nothing_is_said_with_care(panel: FindingsPanel) -> None:
    panel.show_prediction(replace(make_prediction(), subtype_probabilities=()), ())
    panel.show_findings(())
    assert "No lesion was found. That does not rule one out." in _texts(panel)


def test_a_case_that_was_not_analysed_offers_the_analysis(qtbot: QtBot) -> None:
    panel = FindingsPanel()
    qtbot.addWidget(panel)
    assert panel.analyse_button.isHidden()
    panel.show_case(make_case())
    assert not panel.analyse_button.isHidden()
    with qtbot.waitSignal(panel.analyse_requested):
        panel.analyse_button.click()
