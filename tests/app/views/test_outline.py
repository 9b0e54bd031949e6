from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPolygonF

from app.views.outline import trace_borders


def test_borders_filled_with_the_odd_even_rule_give_the_mask_back():
    rng = np.random.default_rng(3)
    mask = np.kron(rng.random((8, 9)) > 0.5, np.ones((2, 2))).astype(bool)
    mask[3, 3] ^= True
    polygons = [QPolygonF([QPointF(*p) for p in border]) for border in trace_borders(mask)]
    for (row, column), inside in np.ndenumerate(mask):
        centre = QPointF(column + 0.5, row + 0.5)
        hits = sum(p.containsPoint(centre, Qt.FillRule.OddEvenFill) for p in polygons)
        assert hits % 2 == inside


def test_a_square_has_one_border_that_cuts_its_corners_by_half_a_pixel():
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:4, 1:4] = True
    (border,) = trace_borders(mask)
    assert border.min(axis=0).tolist() == [1, 2]
    assert border.max(axis=0).tolist() == [4, 4]
    assert [1.0, 2.0] not in border.tolist()


def test_pixels_that_touch_at_a_corner_keep_borders_of_their_own():
    assert len(trace_borders(np.eye(2, dtype=bool))) == 2


def test_an_empty_mask_has_no_border():
    assert trace_borders(np.zeros((4, 4), dtype=bool)) == []
