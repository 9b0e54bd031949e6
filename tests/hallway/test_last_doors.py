"""Doors 7 and 8: from the engine's process into the session, and onto the panes."""

from __future__ import annotations

import numpy as np
import pytest

from app import theme
from app.main_window import MainWindow
from app.session import Session
from app.tasks.engine_process import EngineProcess
from app.views.view_grid import ViewGrid
from engine.catalogue import SYSTEMS
from engine.data.phantom import make_phantom, sample_spec
from engine.errors import IsletError
from tests.app.views.make_case import pixels

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints")  # of the offscreen platform


def _amount(picture: np.ndarray, structure: str) -> int:
    # Tinted and outlined in the structure's hue over grey: closest where the hue is plain.
    wanted = np.array(theme.structure_colour(structure).getRgb()[:3])
    return int((np.abs(picture[..., :3].astype(int) - wanted).sum(axis=-1) < 12).sum())


def test_a_result_enters_the_session_once_and_is_drawn_on_the_panes(qtbot) -> None:
    spec = sample_spec(990_017, subtype=2, phase="venous", slice_thickness_mm=5.0, length_mm=200.0)
    case = make_phantom(spec).case
    session, engine = Session(), EngineProcess()
    grid = ViewGrid()
    grid.set_layout("planes")
    window = MainWindow(session, grid, tuple(SYSTEMS))
    qtbot.addWidget(window)
    window.resize(1300, 900)
    window.show()
    session.open_case(case)
    failures: list[IsletError] = []
    try:
        with qtbot.waitSignal(session.prediction_shown, timeout=200_000) as shown:
            engine.predict(
                case,
                "starter",
                on_progress=lambda *_: None,
                on_success=session.show_prediction,
                on_failure=failures.append,
            )
    finally:
        engine.shutdown()
    assert failures == []
    (prediction,) = shown.args
    assert prediction.labels.geometry.is_same_as(case.volume.geometry)
    (first, *_) = session.findings
    session.select_finding(first.finding_id)
    assert session.cursor_mm == pytest.approx(first.centre_mm, abs=0.01)
    qtbot.waitUntil(lambda: _amount(pixels(grid), "lesion") > 50, timeout=5000)
    session.set_all_layers(visible=False, boxes=False)
    assert _amount(pixels(grid), "lesion") < 50
