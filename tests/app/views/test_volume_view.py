from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from vtkmodules.util.numpy_support import vtk_to_numpy

from app import theme
from app.session import Layer
from app.views import marks
from app.views.camera import PRESETS, Camera
from app.views.looks import look_of
from app.views.surfaces import build_context, build_surfaces
from app.views.tags import tag_place
from app.views.view_grid import ViewGrid
from app.views.volume_view import VolumeView
from engine.finding import Review
from engine.volume import LabelMap
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
    [
        CANONICAL,
        oblique(),
        turned(order=(2, 0, 1), flips=(True, False, True)),
        turned(order=(2, 1, 0), flips=(True, True, False)),
    ],
)
def test_the_surface_of_a_ball_is_a_ball_in_the_same_place_with_normals_outwards(geometry):
    (surface,) = build_surfaces(marked_labels(geometry))
    points = vtk_to_numpy(surface.mesh.GetPoints().GetData())
    normals = vtk_to_numpy(surface.mesh.GetPointData().GetNormals())
    corners = vtk_to_numpy(surface.mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    one, two, three = (points[corners[:, i]] - np.array(MARKER_MM) for i in range(3))
    assert ((np.cross(two - one, three - one) * one).sum(axis=1) > 0).mean() > 0.95
    out = points - np.array(MARKER_MM)
    radii = np.linalg.norm(out, axis=1)
    assert surface.centre_mm == pytest.approx(MARKER_MM, abs=1.6)
    assert radii.min() > 3
    assert radii.max() < 9
    assert ((out / radii[:, None] * normals).sum(axis=1) > 0).mean() > 0.95


def test_the_surface_of_a_finding_is_its_own():
    (surface,) = build_surfaces(marked_labels(), (ball_finding(),))
    assert (surface.structure, surface.finding_id) == ("lesion", "lesion-1")


def test_a_box_without_an_outline_takes_no_surface_from_another_finding():
    boxed = replace(ball_finding(), finding_id="lesion-2", volume_mm3=0.0)
    (surface,) = build_surfaces(marked_labels(), (boxed, ball_finding()))
    assert surface.finding_id == "lesion-1"


def test_a_box_without_an_outline_comes_into_the_middle_with_its_label(view):
    view.show_case(marked_case())
    empty = LabelMap(np.zeros(CANONICAL.shape, np.uint8), {2: "lesion"}, CANONICAL)
    view.show_labels(empty, is_ai=True)
    view.show_findings((replace(ball_finding(), volume_mm3=0.0),), "lesion-1")
    assert view.camera.focus_mm == MARKER_MM
    pixels(view)
    assert [finding_id for finding_id, _ in view._tags] == ["lesion-1"]


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
        view.finish_frame()
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


def test_the_first_painting_does_not_wait_for_the_first_frame(view, qtbot):
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    pixels(view)
    assert view.num_frames == 0
    qtbot.waitUntil(lambda: view.num_frames == 1, timeout=20_000)
    pixels(view)
    qtbot.wait(20)
    assert view.num_frames == 1


def test_a_hidden_view_drops_the_frame_it_was_about_to_make(view, qtbot):
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    pixels(view)
    view.hide()
    view.set_camera("left")
    view.finish_frame()
    qtbot.wait(20)
    assert view.num_frames == 0


def test_a_slow_scene_is_turned_at_half_size_and_drawn_whole_at_rest(view, qtbot, monkeypatch):
    monkeypatch.setattr("app.views.frames._SLOW_FRAME_S", 0.0)
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    view.finish_frame()
    whole = view._frames.latest.picture.width()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(60, 60))
    QTest.mouseMove(view, QPoint(90, 70))
    view.finish_frame()
    assert view._frames.latest.picture.width() == whole // 2
    qtbot.waitUntil(lambda: view._frames.latest.picture.width() == whole, timeout=20_000)


def test_a_computer_without_opengl_says_so_in_the_pane(view, monkeypatch):
    window = Mock()
    window.SupportsOpenGL.return_value = 0
    monkeypatch.setattr("app.views.scene.vtkRenderWindow", lambda: window)
    view.show_case(marked_case())
    view.show_labels(marked_labels(), is_ai=True)
    view.finish_frame()
    error = view._frames.failure
    assert error.message == (
        "This computer offers no OpenGL 3.2, so nothing is drawn in three dimensions."
    )
    assert error.remedy == "Read in the three planes, or install a graphics driver."
    middle = pixels(view)[60:120]
    quiet = np.array([0x94, 0xA3, 0xB5])
    assert (np.abs(middle - quiet).sum(axis=2) < 60).sum() > 50
    view.finish_frame()
    assert view.num_frames == 0


def test_organs_are_drawn_in_front_of_bone_and_keep_their_own_look():
    pancreas = look_of("pancreas", None, layers=(), findings=())
    bone = look_of("bone", None, layers=(), findings=())
    assert pancreas.in_front
    assert not bone.in_front
    rejected = ball_finding(Review.REJECTED)
    look = look_of("lesion", "lesion-1", layers=(), findings=(rejected,))
    assert look.colour == theme.REJECTED
    assert look.opacity < 0.5


@pytest.mark.parametrize(
    ("box", "is_covered"),
    [
        (QRectF(40, 40, 60, 50), False),
        (QRectF(-30, -30, 60, 50), False),
        (QRectF(170, 120, 80, 80), False),
        (QRectF(-50, -50, 400, 400), True),
    ],
)
def test_a_label_stays_in_the_pane_and_off_its_box_and_off_other_labels(qapp, box, is_covered):
    pane = QRectF(0, 0, 200, 150)
    painter = QPainter(image := QImage(200, 150, QImage.Format.Format_RGB32))
    first = tag_place(painter, "Lesion 93 %", box, pane, [])
    second = tag_place(painter, "Lesion 93 %", box, pane, [first])
    painter.end()
    assert image.width() == 200
    assert pane.contains(first)
    assert pane.contains(second)
    assert not first.intersects(second)
    assert first.intersects(box) == is_covered


def test_a_label_keeps_off_the_neighbours_box_where_there_is_room(qapp):
    painter = QPainter(image := QImage(300, 200, QImage.Format.Format_RGB32))
    box, above = QRectF(100, 100, 40, 30), QRectF(90, 60, 60, 38)
    place = tag_place(painter, "Lesion", box, QRectF(image.rect()), [], [above])
    painter.end()
    assert not place.intersects(above)
    assert not place.intersects(box)


def test_a_box_outside_of_the_pane_has_no_label(qapp):
    painter = QPainter(image := QImage(200, 150, QImage.Format.Format_RGB32))
    place = tag_place(painter, "Lesion", QRectF(300, 10, 20, 20), QRectF(image.rect()), [])
    painter.end()
    assert place is None


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
    before = _num_grids()
    for _ in range(20):
        grid = ViewGrid()
        grid.resize(300, 260)
        grid.show()
        grid.show_case(marked_case())
        grid.grab_picture()
        grid.close()
        grid.deleteLater()
    qtbot.waitUntil(lambda: _num_grids() <= before)
    assert _num_grids() <= before


def _num_grids() -> int:
    return sum(isinstance(widget, ViewGrid) for widget in QApplication.allWidgets())
