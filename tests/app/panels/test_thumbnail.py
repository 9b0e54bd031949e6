from __future__ import annotations

import numpy as np
from pytestqt.qtbot import QtBot

from app.panels.thumbnail import axial_patch
from engine.case import Case
from engine.geometry import Geometry, from_spacing
from engine.volume import Volume

_SHAPE = (20, 100, 100)


def _bright_left(geometry: Geometry) -> Case:
    """A case that is bright where x > 0: on the patient's left."""
    indices = np.indices(geometry.shape).reshape(3, -1).T
    is_left = geometry.to_patient(indices)[:, 0] > 0
    hu = np.where(is_left, 300, -300).astype(np.int16).reshape(geometry.shape)
    return Case("a", Volume(hu, geometry))


def _halves(case: Case) -> tuple[int, int]:
    image = axial_patch(case, (0.0, 0.0, 20.0))
    middle = image.height() // 2
    return (
        image.pixelColor(image.width() // 4, middle).red(),
        image.pixelColor(3 * image.width() // 4, middle).red(),
    )


def test_patient_left_is_on_the_right_of_the_thumbnail(qtbot: QtBot) -> None:
    geometry = from_spacing(_SHAPE, (2.0, 1.0, 1.0), (-50.0, -50.0, 0.0))
    assert _halves(_bright_left(geometry)) == (0, 255)


def test_a_mirrored_grid_gives_the_same_thumbnail(qtbot: QtBot) -> None:
    affine = from_spacing(_SHAPE, (2.0, 1.0, 1.0), (50.0, -50.0, 0.0)).affine.copy()
    affine[:, 2] *= -1
    assert _halves(_bright_left(Geometry(_SHAPE, affine))) == (0, 255)


def test_what_lies_outside_the_volume_is_black(qtbot: QtBot) -> None:
    geometry = from_spacing(_SHAPE, (2.0, 1.0, 1.0), (-50.0, -50.0, 0.0))
    image = axial_patch(_bright_left(geometry), (500.0, 0.0, 20.0))
    assert image.pixelColor(40, 40).red() == 0
