from __future__ import annotations

import pytest

from app.views.viewport import MAX_ZOOM, fit


def test_fit_shows_the_whole_plane_in_its_middle():
    view = fit((600, 400), (300, 300))
    assert view.px_per_mm == pytest.approx(400 / 300)
    assert view.to_px(150, 150) == (300, 200)


def test_zoom_keeps_the_point_under_the_pointer():
    view = fit((600, 400), (300, 300))
    before = view.to_mm(500, 80)
    closer = view.zoomed(3.0, 500, 80)
    assert closer.to_mm(500, 80) == pytest.approx(before)
    assert closer.px_per_mm == pytest.approx(3 * view.px_per_mm)


def test_zoom_has_an_end():
    assert fit((600, 400), (300, 300)).zoomed(1e6, 0, 0).zoom == MAX_ZOOM


def test_pan_follows_the_hand_and_never_loses_the_picture():
    view = fit((600, 400), (300, 300)).zoomed(4, 300, 200)
    x, y = view.to_px(140, 160)
    assert view.panned(25, -10).to_px(140, 160) == pytest.approx((x + 25, y - 10))
    far = view.panned(1e6, 1e6)
    assert far.to_px(0, 0) == (300, 200)


def test_resizing_keeps_focus_and_zoom():
    view = fit((600, 400), (300, 300)).zoomed(2, 100, 100)
    resized = view.resized(900, 700)
    assert resized.zoom == view.zoom
    assert resized.to_px(*view.focus_mm) == (450, 350)
