"""Pieces of a structure are told apart and know where they are."""

from __future__ import annotations

import numpy as np
import pytest

from engine.components import find_components
from engine.geometry import Geometry, from_spacing
from engine.volume import LabelMap


def test_pieces_of_one_structure_are_told_apart() -> None:
    labels = np.zeros((9, 10, 11), np.uint8)
    labels[2:4, 3:5, 4:6] = 2
    labels[4, 5, 6] = 2
    labels[7:9, 8, 9] = 2
    labels[7, 7, 9] = 1
    found = find_components(
        LabelMap(labels, {1: "pancreas", 2: "lesion"}, from_spacing(labels.shape, (2.0, 1.0, 0.5))),
        "lesion",
    )
    assert [piece.start for piece in found] == [(2, 3, 4), (7, 8, 9)]
    assert [piece.volume_mm3 for piece in found] == [9.0, 2.0]
    assert found[1].centre_mm == pytest.approx((4.5, 8.0, 15.0))
    assert found[1].box_mm.lower_mm == pytest.approx((4.25, 7.5, 13.0))
    assert found[1].box_mm.upper_mm == pytest.approx((4.75, 8.5, 17.0))


def test_boxes_of_a_flipped_scan_still_run_from_low_to_high() -> None:
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])[[2, 1, 0, 3]] @ np.eye(4)
    labels = np.ones((3, 4, 5), np.uint8)
    geometry = Geometry(labels.shape, affine)
    (piece,) = find_components(LabelMap(labels, {1: "lesion"}, geometry), "lesion")
    assert (np.array(piece.box_mm.lower_mm) < piece.box_mm.upper_mm).all()
    volume = np.prod(np.subtract(piece.box_mm.upper_mm, piece.box_mm.lower_mm))
    assert volume == pytest.approx(piece.volume_mm3)


def test_an_unknown_structure_is_an_error_and_an_absent_one_is_nothing() -> None:
    labels = LabelMap(
        np.zeros((2, 2, 2), np.uint8), {1: "lesion"}, from_spacing((2, 2, 2), (1, 1, 1))
    )
    assert find_components(labels, "lesion") == ()
    with pytest.raises(KeyError):
        find_components(labels, "spleen")
