from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from vtkmodules.util.numpy_support import vtk_to_numpy

from app.session import Layer
from app.views import marks
from app.views.camera import PRESETS, Camera
from app.views.surfaces import build_context, build_surfaces
from app.views.view_grid import ViewGrid
from app.views.volume_view import VolumeView
from tests.app.views.make_case import (
    CANONICAL,
    MARKER_MM,
    ball_finding,
    marked_case,
    marked_labels,
    oblique,
    pixels,
    turned,
)

_RIGHT_OF_SCREEN = {"anterior": "L", "posterior": "R", "left": "P", "right": "A"}
_WAY = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0)}
pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints")  # of the offscreen platform


@pytest.fixture
def view(qtbot):
    widget = VolumeView()
    qtbot.addWidget(widget)
    widget.resize(240, 200)
    widget.show()
    yield widget
    widget.finalize()


@pytest.mark.parametrize("preset", _RIGHT_OF_SCREEN)
def test_camera_presets_look_from_their_side_with_the_head_up(preset):
    camera = Camera(0, 0, (0, 0, 0), 200).preset(preset)
    side = _WAY[_RIGHT_OF_SCREEN[preset]]
    centre, aside, head = camera.project([(0, 0, 0), side, (0, 0, 1)], (300, 200))
    assert aside[0] > centre[0]
    assert head[1] < centre[1]


def test_from_the_feet_the_patients_right_is_on_the_left_and_the_front_is_up():
    camera = Camera(0, 0, (0, 0, 0), 200).preset("feet")
    right, front = camera.project([(-10, 0, 0), (0, -10, 0)], (300, 200))
    assert right[0] < 150
    assert front[1] < 100
    assert set(PRESETS) > set(_RIGHT_OF_SCREEN)


@pytest.mark.parametrize(
    "geometry",
    [CANONICAL, oblique(), turned(order=(2, 0, 1), flips=(True, False, True))],
)
def test_the_surface_of_a_ball_is_a_ball_in_the_same_place_with_normals_outwards(geometry):
    (surface,) = build_surfaces(marked_labels(geometry))
    points = vtk_to_numpy(surface.mesh.GetPoints().GetData())
    normals = vtk_to_numpy(surface.mesh.GetPointData().GetNormals())
    out = points - np.array(MARKER_MM)
    radii = np.linalg.norm(out, axis=1)
    assert surface.centre_mm == pytest.approx(MARKER_MM, abs=1.6)
    assert radii.min() > 3
    assert radii.max() < 9
    assert ((out / radii[:, None] * normals).sum(axis=1) > 0).mean() > 0.95


def test_the_surface_of_a_finding_is_its_own():
    (surface,) = build_surfaces(marked_labels(), (ball_finding(),))
    assert (surface.structure, surface.finding_id) == ("lesion", "lesion-1")


def test_an_empty_label_map_and_a_flat_volume_have_no_surface():
    labels = marked_labels()
    empty = type(labels)(np.zeros_like(labels.labels), labels.names, CANONICAL)
    assert build_surfaces(empty) == ()
    case = marked_case()
    assert [s.structure for s in build_context(case.volume)] in ([], ["body"])


def test_the_lesion_is_drawn_red_moves_when_turned_and_goes_with_its_layer(view):
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)

    def red():
        image = pixels(view)[: -marks.STRIP]
        return image[..., 0] - image[..., 2] > 60

    before = red()
    assert 0.002 < before.mean() < 0.6
    view.show_findings((ball_finding(),), None)
    frames, azimuth = view.num_frames, view.camera.azimuth_deg
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    QTest.mouseMove(view, QPoint(80, 70))
    QTest.mouseMove(view, QPoint(110, 80))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(110, 80))
    assert (red() != before).any()
    assert view.num_frames > frames
    assert view.camera.azimuth_deg != azimuth
    view.set_layers((Layer("lesion", visible=False, boxes=False),))
    assert not red().any()


def test_a_selected_finding_comes_into_the_middle_and_its_label_can_be_clicked(view, qtbot):
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    view.show_findings((ball_finding(),), "lesion-1")
    assert view.camera.focus_mm == MARKER_MM
    pixels(view)
    ((finding_id, tag),) = view._tags
    with qtbot.waitSignal(view.finding_requested) as asked:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=tag.center().toPoint())
    assert asked.args == [finding_id]


def test_a_hidden_view_neither_builds_nor_draws(qtbot):
    asked = []
    view = VolumeView(run_task=lambda work, **_: asked.append(work))
    qtbot.addWidget(view)
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    assert (asked, view.num_frames) == ([], 0)
    view.show()
    assert len(asked) == 2
    view.finalize()


def test_surfaces_of_a_case_that_was_closed_meanwhile_are_dropped(qtbot):
    answers = []
    view = VolumeView(run_task=lambda work, on_success, **_: answers.append((work, on_success)))
    qtbot.addWidget(view)
    view.show()
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    view.show_case(None)
    for work, on_success in answers:
        on_success(work())
    assert view.surfaces == ()
    view.finalize()


def test_opening_and_closing_twenty_times_leaves_nothing_behind(qtbot):
    for _ in range(20):
        grid = ViewGrid()
        grid.resize(300, 260)
        grid.show()
        grid.show_case(marked_case())
        grid.grab_picture()
        grid.close()
        grid.deleteLater()
    qtbot.wait(1)
