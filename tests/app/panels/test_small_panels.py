from __future__ import annotations

import pytest
from PySide6.QtWidgets import QProgressBar
from pytestqt.qtbot import QtBot

from app.panels.jobs import JobsBar, remaining_text
from app.panels.layers import LayersPanel
from app.panels.series import SeriesPanel
from app.panels.source_text import can_open, detail_text
from app.session import Layer
from tests.app.make import make_source

_LAYERS = (Layer("pancreas"), Layer("lesion"))


@pytest.fixture
def layers(qtbot: QtBot) -> LayersPanel:
    panel = LayersPanel()
    qtbot.addWidget(panel)
    panel.show_layers(_LAYERS)
    return panel


def test_switching_a_layer_off_asks_for_that_layer_alone(layers: LayersPanel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(layers.layer_requested) as asked:
        layers.rows[1].visible.click()
    assert asked.args == [Layer("lesion", visible=False)]


def test_the_slider_sets_the_opacity(layers: LayersPanel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(layers.layer_requested) as asked:
        layers.rows[0].opacity.setValue(60)
    assert asked.args == [Layer("pancreas", opacity=0.6)]


def test_following_a_layer_asks_for_nothing(layers: LayersPanel, qtbot: QtBot) -> None:
    row = layers.rows[0]
    with qtbot.assertNotEmitted(layers.layer_requested):
        layers.show_layers((Layer("pancreas", opacity=0.8, filled=False), _LAYERS[1]))
    assert layers.rows[0] is row
    assert row.opacity.value() == 80
    assert not row.filled.isChecked()


def test_another_label_map_brings_its_own_rows(layers: LayersPanel) -> None:
    layers.show_layers((Layer("liver"),))
    assert [row.layer.structure for row in layers.rows] == ["liver"]


def test_the_job_bar_says_stage_share_and_time_left(qtbot: QtBot) -> None:
    bar = JobsBar()
    qtbot.addWidget(bar)
    assert not bar.is_busy
    bar.begin("Finding lesions")
    bar.show_progress("infer", 0.42, 31.0)
    assert bar.is_busy
    assert bar.text == "Finding lesions Outlining 42 % about 30 s left"
    with qtbot.waitSignal(bar.cancel_requested):
        bar.cancel_button.click()
    bar.end()
    assert not bar.is_busy


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (2.0, "a few seconds left"),
        (42.0, "about 40 s left"),
        (130.0, "about 2 min left"),
    ],
)
def test_time_left_is_said_as_a_person_would(seconds: float | None, words: str) -> None:
    assert remaining_text(seconds) == words


def test_the_strip_lists_cts_first_and_marks_the_open_one(qtbot: QtBot) -> None:
    panel = SeriesPanel()
    qtbot.addWidget(panel)
    scout, venous = make_source("Scout", kind="localiser", num_slices=1), make_source()
    panel.show_series((scout, venous), venous)
    assert panel.list.sources == (venous, scout)
    assert panel.list.chosen == venous


def test_a_localiser_cannot_be_chosen(qtbot: QtBot) -> None:
    panel = SeriesPanel()
    qtbot.addWidget(panel)
    panel.show_series((make_source("Scout", kind="localiser"),), None)
    assert not panel.list.item(0).flags()


def test_clicking_another_series_asks_for_it_and_the_open_one_does_not(qtbot: QtBot) -> None:
    panel = SeriesPanel()
    qtbot.addWidget(panel)
    arterial, venous = make_source("Arterial"), make_source("Venous")
    panel.show_series((arterial, venous), venous)
    with qtbot.assertNotEmitted(panel.source_requested):
        panel.list.itemClicked.emit(panel.list.item(1))
    panel.list.setCurrentRow(0)
    with qtbot.waitSignal(panel.source_requested) as asked:
        panel.list.itemClicked.emit(panel.list.item(0))
    assert asked.args == [arterial]


def test_a_series_is_described_by_kind_slices_and_distance() -> None:
    assert detail_text(make_source()) == "CT  ·  100 slices  ·  2.5 mm"
    assert can_open(make_source())
    assert not can_open(make_source(kind="labels"))
    assert not can_open(make_source(num_slices=0))


def test_a_job_that_has_told_only_its_stage_is_busy_and_not_at_zero(qtbot: QtBot) -> None:
    bar = JobsBar()
    qtbot.addWidget(bar)
    bar.begin("Opening")
    bar.show_progress("Reading the image", 0.0)
    assert bar.text == "Opening Reading the image"
    assert bar.findChild(QProgressBar).maximum() == 0
    bar.show_progress("Reading the image", 0.5)
    assert bar.findChild(QProgressBar).value() == 50
