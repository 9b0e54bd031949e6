from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QFontMetrics, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from app import theme
from app.session import Layer
from app.views import marks
from app.views.corner_text import place
from app.views.slice_view import SliceView
from app.views.view_grid import ViewGrid
from engine.case import Case
from engine.finding import Review
from engine.volume import LabelMap, Volume
from tests.app.views.make_case import (
    CANONICAL,
    MARKER_MM,
    ball_finding,
    marked_case,
    marked_labels,
    marked_volume,
    oblique,
    pixels,
    turned,
)

_PLANES = ("axial", "coronal", "sagittal")
pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints")  # of the offscreen platform


@pytest.fixture
def grid(qtbot):
    widget = ViewGrid()
    qtbot.addWidget(widget)
    widget.cursor_requested.connect(widget.set_cursor)
    widget.window_requested.connect(widget.set_window)
    # Without the 3D pane: it has tests of its own, and drawing it takes time.
    widget.set_layout("planes")
    widget.resize(800, 640)
    widget.show()
    widget.show_case(marked_case())
    widget.set_cursor(MARKER_MM)
    yield widget
    widget.close()


def plane_pane(grid: ViewGrid, name: str) -> SliceView:
    pane = grid.pane(name)
    assert isinstance(pane, SliceView)
    return pane


def turn_wheel(view, *, notches=1, at=None, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    at = at or QPointF(view.rect().center())
    event = QWheelEvent(
        at, view.mapToGlobal(at), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton,
        modifiers, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    view.wheelEvent(event)


@pytest.mark.parametrize("name", ["axial", "coronal"])
@pytest.mark.parametrize(
    "geometry",
    [
        CANONICAL,
        turned(order=(2, 0, 1), flips=(True, False, True)),
        turned(order=(1, 2, 0), flips=(False, True, True)),
        oblique(),
    ],
)
def test_the_bright_ball_on_the_patients_left_is_on_the_right_of_the_screen(grid, name, geometry):
    grid.show_case(marked_case(geometry))
    grid.set_crosshair_shown(False)
    grid.set_cursor(MARKER_MM)
    view = plane_pane(grid, name)
    at = view.to_px(MARKER_MM)
    assert at.x() > view.picture_rect.center().x()
    shown = pixels(view)
    assert shown[int(at.y()), int(at.x())].tolist() == [255, 255, 255]
    assert shown[int(at.y()), int(2 * view.picture_rect.center().x() - at.x())].max() < 60


@pytest.mark.parametrize("name", _PLANES)
def test_a_click_moves_the_crosshair_of_every_pane_to_that_place(grid, qtbot, name):
    view = plane_pane(grid, name)
    point = view.to_px(MARKER_MM).toPoint() + QPoint(23, -17)
    wanted = view.to_position(QPointF(point))
    with qtbot.waitSignal(grid.cursor_requested) as asked:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=point)
    assert asked.args[0] == pytest.approx(wanted)
    for other in map(grid.pane, _PLANES):
        assert other.plane.slice_at(wanted) == other.slice_number
    assert (view.to_px(wanted) - QPointF(point)).manhattanLength() < 0.01


def test_a_click_beside_the_volume_stays_inside_it(grid, qtbot):
    view = plane_pane(grid, "axial")
    with qtbot.waitSignal(grid.cursor_requested) as asked:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    index = CANONICAL.to_index([asked.args[0]])[0]
    assert (index >= -1e-9).all()
    assert (index <= np.array(CANONICAL.shape) - 1).all()


def test_the_probe_says_the_density_exactly(grid, qtbot):
    voxels = np.full(CANONICAL.shape, 41.125, np.float32)
    voxels[10, 20, 30] = -17.6875
    grid.show_case(Case("f", Volume(voxels, CANONICAL)))
    x, y, z = CANONICAL.to_patient([[10, 20, 30]])[0]
    grid.set_cursor((x, y, z))
    view = plane_pane(grid, "axial")
    probe = view.probe_at(view.to_px((x, y, z)))
    assert probe is not None
    assert probe.hu == -17.6875
    with qtbot.waitSignal(grid.status_changed) as status:
        view._show_probe(probe)
    assert "−17.6875 HU" in status.args[0]


def test_the_wheel_steps_towards_the_feet_and_five_slices_with_shift(grid):
    view = plane_pane(grid, "axial")
    before = view.slice_number
    turn_wheel(view, notches=-1)
    assert view.slice_number == before - 1
    turn_wheel(view, notches=1, modifiers=Qt.KeyboardModifier.ShiftModifier)
    assert view.slice_number == before + 4
    grid.go_to_end(last=True)
    assert view.slice_number == 0


def test_ctrl_and_wheel_zoom_at_the_pointer(grid):
    view = plane_pane(grid, "coronal")
    at, slice_number = QPointF(60, 50), view.slice_number
    before = view.to_position(at)
    turn_wheel(view, at=at, modifiers=Qt.KeyboardModifier.ControlModifier)
    assert view.to_position(at) == pytest.approx(before)
    assert view.viewport.zoom > 1
    assert view.slice_number == slice_number


def test_alt_and_wheel_ask_for_another_opacity(grid, qtbot):
    with qtbot.waitSignal(grid.opacity_requested) as asked:
        turn_wheel(grid.pane("axial"), modifiers=Qt.KeyboardModifier.AltModifier)
    assert asked.args[0] > 0


def drag(view, button, start: QPoint, by: QPoint) -> None:
    QTest.mousePress(view, button, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(view, start + by / 2)
    QTest.mouseMove(view, start + by)
    QTest.mouseRelease(view, button, Qt.KeyboardModifier.NoModifier, start + by)


def test_a_left_drag_right_widens_the_window_and_down_raises_its_centre(grid, qtbot):
    with qtbot.waitSignal(grid.window_requested):
        drag(grid.pane("axial"), Qt.MouseButton.LeftButton, QPoint(90, 90), QPoint(60, 40))
    width, centre = grid.pane("axial")._window_hu
    assert width > 400
    assert centre > 40


def test_a_trembling_hand_neither_changes_the_window_nor_loses_the_click(grid, qtbot):
    moved = []
    grid.window_requested.connect(lambda *_: moved.append(1))
    with qtbot.waitSignal(grid.cursor_requested):
        drag(grid.pane("axial"), Qt.MouseButton.LeftButton, QPoint(90, 90), QPoint(2, 2))
    assert not moved


def test_a_middle_drag_pans_and_a_right_drag_zooms(grid):
    view = plane_pane(grid, "axial")
    before = view.to_px(MARKER_MM)
    drag(view, Qt.MouseButton.MiddleButton, QPoint(90, 90), QPoint(30, 20))
    assert (view.to_px(MARKER_MM) - before - QPointF(30, 20)).manhattanLength() < 0.01
    drag(view, Qt.MouseButton.RightButton, QPoint(90, 90), QPoint(0, -40))
    assert view.viewport.zoom > 1.2


def test_a_right_click_asks_for_the_menu(grid, qtbot):
    with qtbot.waitSignal(grid.menu_requested) as asked:
        at = grid.pane("axial").to_px(MARKER_MM).toPoint()
        qtbot.mouseClick(grid.pane("axial"), Qt.MouseButton.RightButton, pos=at)
    assert asked.args[1].hu == 300


def test_resizing_keeps_what_is_in_the_middle(grid):
    view = plane_pane(grid, "axial")
    turn_wheel(view, notches=4, modifiers=Qt.KeyboardModifier.ControlModifier)
    focus, zoom = view.viewport.focus_mm, view.viewport.zoom
    grid.resize(700, 500)
    assert (view.viewport.focus_mm, view.viewport.zoom) == (focus, zoom)


def test_a_cursor_outside_a_zoomed_pane_is_brought_into_it(grid):
    view = plane_pane(grid, "axial")
    turn_wheel(view, notches=15, at=QPointF(5, 5), modifiers=Qt.KeyboardModifier.ControlModifier)
    grid.set_cursor(MARKER_MM)
    assert view.picture_rect.contains(view.to_px(MARKER_MM))


def test_a_double_click_maximises_and_restores(grid, qtbot):
    qtbot.mouseDClick(grid.pane("coronal"), Qt.MouseButton.LeftButton, pos=QPoint(50, 50))
    assert [n for n in _PLANES if grid.pane(n).isVisible()] == ["coronal"]
    qtbot.mouseDClick(grid.pane("coronal"), Qt.MouseButton.LeftButton, pos=QPoint(50, 50))
    assert all(grid.pane(n).isVisible() for n in _PLANES)


@pytest.mark.parametrize("name", _PLANES)
def test_a_mask_changes_pixels_only_where_it_is(grid, name):
    view = plane_pane(grid, name)
    bare = pixels(view)
    grid.show_labels(marked_labels(), is_ai=True)
    grid.set_layers((Layer("lesion"),))
    changed = (pixels(view) != bare).any(axis=2)
    rows, columns = np.nonzero(changed)
    middle = view.to_px(MARKER_MM)
    reach = (6 + 3) * view.viewport.px_per_mm + 2  # the ball, one slice of 3 mm, the pen
    assert changed.sum() > 50
    assert np.abs(columns - middle.x()).max() <= reach
    assert np.abs(rows - middle.y()).max() <= reach
    grid.set_layers((Layer("lesion", visible=False),))
    assert (pixels(view) == bare).all()


def test_a_fill_covers_at_most_a_quarter_of_the_anatomy_by_default(grid):
    view = plane_pane(grid, "axial")
    grid.set_crosshair_shown(False)
    grid.show_labels(marked_labels(), is_ai=False)
    grid.set_layers((Layer("lesion", outlined=False),))
    at = view.to_px(MARKER_MM)
    shown = pixels(view)[int(at.y()), int(at.x())]
    colour = np.array(theme.structure_colour("lesion").getRgb()[:3])
    assert shown == pytest.approx(255 + 0.25 * (colour - 255), abs=2)


def test_the_reader_may_choose_a_stronger_tint(grid):
    view = plane_pane(grid, "axial")
    grid.set_crosshair_shown(False)
    grid.show_labels(marked_labels(), is_ai=False)
    grid.set_layers((Layer("lesion", outlined=False, opacity=0.8),))
    at = view.to_px(MARKER_MM)
    shown = pixels(view)[int(at.y()), int(at.x())]
    colour = np.array(theme.structure_colour("lesion").getRgb()[:3])
    assert shown == pytest.approx(255 + 0.8 * (colour - 255), abs=2)


def test_the_crosshair_does_not_run_through_the_box_it_points_into(grid):
    grid.show_labels(None, is_ai=True)
    grid.show_findings((ball_finding(),), None)
    view = plane_pane(grid, "axial")
    with_cross = pixels(view)
    grid.set_crosshair_shown(False)
    changed = (pixels(view) != with_cross).any(axis=2)
    (mark,) = view._box_marks
    box = mark.rect.toRect()
    assert changed.sum() > 100
    assert not changed[box.top() : box.bottom(), box.left() : box.right()].any()


def test_ai_outlines_are_dashed_until_confirmed_then_solid_and_grey_when_rejected(grid):
    view = plane_pane(grid, "axial")
    grid.set_crosshair_shown(False)
    grid.show_labels(marked_labels(), is_ai=True)
    grid.set_layers((Layer("lesion", filled=False, boxes=False),))

    def coloured(review):
        grid.show_findings((ball_finding(review),), None)
        image = pixels(view)[: -marks.STRIP]
        return int((image[..., 0] - image[..., 1] > 60).sum())

    proposed, confirmed, rejected = map(
        coloured, (Review.PROPOSED, Review.CONFIRMED, Review.REJECTED)
    )
    assert 0 < proposed < 0.85 * confirmed
    assert rejected == 0


def test_boxes_carry_their_probability_and_a_click_on_it_asks_for_the_finding(grid, qtbot):
    grid.show_labels(marked_labels(), is_ai=True)
    grid.show_findings((ball_finding(),), None)
    view = plane_pane(grid, "axial")
    pixels(view)
    (mark,), ((_, tag),) = view._box_marks, view._tags
    assert mark.text == "Lesion 93 %"
    assert mark.dashed
    assert not tag.intersects(mark.rect)
    assert mark.rect.contains(view.to_px(MARKER_MM))
    with qtbot.waitSignal(grid.finding_requested) as asked:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=tag.center().toPoint())
    assert asked.args == ["lesion-1"]


def test_a_rejected_box_is_only_drawn_while_it_is_selected(grid):
    view = plane_pane(grid, "axial")
    for selected_id, count in ((None, 0), ("lesion-1", 1)):
        grid.show_findings((ball_finding(Review.REJECTED),), selected_id)
        pixels(view)
        assert len(view._box_marks) == count


def test_a_box_without_an_outline_is_drawn_and_can_be_clicked(grid, qtbot):
    empty = LabelMap(np.zeros(CANONICAL.shape, np.uint8), {2: "lesion"}, CANONICAL)
    grid.show_labels(empty, is_ai=True)
    grid.show_findings((replace(ball_finding(), volume_mm3=0.0),), "lesion-1")
    view = plane_pane(grid, "coronal")
    pixels(view)
    ((finding_id, tag),) = view._tags
    assert view._box_marks[0].rect.contains(view.to_px(MARKER_MM))
    with qtbot.waitSignal(grid.finding_requested) as asked:
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=tag.center().toPoint())
    assert asked.args == [finding_id] == ["lesion-1"]


def test_rejecting_a_box_without_an_outline_leaves_the_outline_inside_it_alone(grid):
    view = plane_pane(grid, "axial")
    grid.set_crosshair_shown(False)
    grid.show_labels(marked_labels(), is_ai=True)
    grid.set_layers((Layer("lesion", filled=False, boxes=False),))
    boxed = replace(ball_finding(Review.REJECTED), finding_id="lesion-2", volume_mm3=0.0)

    def picture(findings):
        grid.show_findings(findings, None)
        return pixels(view)[: -marks.STRIP]

    alone = picture((ball_finding(),))
    np.testing.assert_array_equal(picture((boxed, ball_finding())), alone)


@pytest.mark.parametrize("size", [(320, 260), (360, 300), (700, 500)])
def test_corner_text_overlaps_nothing_at_any_size(qapp, size):
    view = SliceView("axial")
    view.resize(*size)
    case = marked_case()
    view.show_volume(case.volume, case)
    view.set_cursor(MARKER_MM)
    pane = view.picture_rect
    metrics = QFontMetrics(theme.picture_font(12))
    items = place(view._corners(), pane, metrics, marks.scale_bar_room(pane) + 10)
    rects = [item.rect for item in items if item.text]
    rects += list(marks.letter_places(pane))
    assert "Muster Erika" in [item.text for item in items]
    for number, rect in enumerate(rects):
        assert pane.contains(rect)
        assert not any(rect.intersects(other) for other in rects[number + 1 :])
    for item in items:
        assert metrics.horizontalAdvance(item.text) <= item.rect.width() + 1


def test_the_research_mark_fits_the_smallest_pane(qapp):
    metrics = QFontMetrics(theme.picture_font(9, bold=True))
    title = QFontMetrics(theme.picture_font(11, bold=True)).horizontalAdvance("Sagittal")
    assert 19 + title + 8 + metrics.horizontalAdvance(theme.RESEARCH_USE) <= 320


def test_every_pane_carries_the_research_mark_even_without_a_case(grid):
    grid.show_case(None)
    wanted = np.array(theme.pane_colour("axial").getRgb()[:3])
    strip = pixels(grid.pane("axial"))[-marks.STRIP :]
    research = np.abs(strip - [0xD9, 0xA4, 0x41]).sum(axis=2) < 60
    assert research.sum() > 100
    assert (np.abs(strip - wanted).sum(axis=2) < 30).any()


def test_an_unsafe_volume_is_shown_with_the_reason(grid):
    grid.show_case(marked_case(unsafe=True))
    banner = grid.findChild(QLabel, "warning_banner")
    assert banner.isVisible()
    assert banner.text() == "Not analysed: A slice is missing."
    grid.show_case(marked_case())
    assert not banner.isVisible()


def test_a_first_look_shows_its_slice_and_says_that_more_is_coming(grid):
    whole = marked_volume(CANONICAL)
    one = CANONICAL.affine.copy()
    one[:3, 3] = CANONICAL.to_patient([[14, 0, 0]])[0]
    geometry = type(CANONICAL)((1, 40, 48), one)
    grid.show_first_look(Volume(whole.voxels_hu[14:15].copy(), geometry))
    view = plane_pane(grid, "axial")
    at = view.to_px(MARKER_MM)
    assert pixels(view)[int(at.y()), int(at.x())].min() == 255
    assert grid.pane("coronal").plane is None
    turn_wheel(grid.pane("coronal"))


_LEAVE = """
import sys
from dataclasses import replace
from PySide6.QtWidgets import QApplication
from app.views.view_grid import ViewGrid
from tests.app.views.make_case import marked_case, marked_labels
app = QApplication([])
grid = ViewGrid(); grid.show(); grid.show_case(marked_case())
grid.show_labels(marked_labels(), is_ai=True); app.processEvents()
if "close" in sys.argv: grid.close()
assert "torch" not in sys.modules
sys.stdout.write("shown")
"""


@pytest.mark.parametrize("how", ["close", "leave"])
def test_a_process_that_showed_a_case_ends_in_peace(how):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _LEAVE, how],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "shown"), done.stderr[-800:]
    assert "Fatal Python error" not in done.stderr
