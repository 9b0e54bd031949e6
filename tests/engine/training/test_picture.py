"""Sample predictions are drawn where they are, and can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from engine.training.picture import _PREDICTED, _REFERENCE, Sight, draw


def _sight(**changes: object) -> Sight:
    image = np.random.default_rng(0).normal(size=(6, 40, 60)).astype(np.float32)
    reference = np.zeros((6, 40, 60), np.uint8)
    reference[2:5, 10:20, 5:25] = 1
    reference[3, 12:18, 8:14] = 2
    given = {
        "title": "case lesion 0.50",
        "image": image,
        "reference": reference,
        "predicted": np.zeros_like(reference),
        "spacing_mm": (2.0, 1.5, 1.5),
        "scores": {},
    }
    return Sight(**{**given, **changes})  # type: ignore[arg-type]


def _places(path: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """Return (x, y) of the pixels of just this colour above the legend."""
    with Image.open(path) as opened:
        picture = np.array(opened)[20:308]
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return np.stack([columns, rows], axis=1)


def test_the_lesion_of_the_reference_is_outlined_where_it_is(tmp_path: Path) -> None:
    draw([_sight()], tmp_path / "p.png")
    found = _places(tmp_path / "p.png", _REFERENCE)
    # 60 columns of 1.5 mm fill 288 pixels: 4.8 each; the picture lies in the middle of the tile.
    left, right = found[:, 0].min() / 4.8, found[:, 0].max() / 4.8
    top = (found[:, 1].min() - 48) / 4.8
    assert abs(left - 8) < 1
    assert abs(right - 14) < 1
    assert abs(top - 12) < 1


def test_a_detected_box_is_framed_only_in_its_slices(tmp_path: Path) -> None:
    inside = np.array([[3, 25, 40, 4, 35, 55]], np.float32)
    draw([_sight(boxes=inside)], tmp_path / "in.png")
    above = inside + np.array([[2, 0, 0, 2, 0, 0]], np.float32)
    draw([_sight(boxes=above)], tmp_path / "out.png")
    framed = _places(tmp_path / "in.png", _PREDICTED)
    assert abs(framed[:, 0].min() / 4.8 - 40) < 1
    assert len(_places(tmp_path / "out.png", _PREDICTED)) == 0


def test_several_cases_stand_side_by_side(tmp_path: Path) -> None:
    draw([_sight(), _sight(), _sight()], tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (3 * 288, 288 + 40)
