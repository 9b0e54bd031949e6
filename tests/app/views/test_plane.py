from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from app.views.plane import PLANES, plane_of
from tests.app.views.make_case import CANONICAL, marked_volume, oblique, turned

_ALL_GRIDS = [
    turned(order=order, flips=flips)
    for order in permutations(range(3))
    for flips in product((False, True), repeat=3)
]


@pytest.mark.parametrize("name", PLANES)
def test_every_orientation_of_a_volume_gives_the_same_picture(name):
    plane = plane_of(CANONICAL, name)
    expected = plane.slice_of(marked_volume(CANONICAL).voxels_hu, plane.slice_at((8, 0, 142)))
    for grid in _ALL_GRIDS:
        other = plane_of(grid, name)
        shown = other.slice_of(marked_volume(grid).voxels_hu, other.slice_at((8, 0, 142)))
        assert np.array_equal(shown, expected)


def test_patient_left_is_on_the_right_of_the_screen():
    for grid in _ALL_GRIDS:
        for name in ("axial", "coronal"):
            plane = plane_of(grid, name)
            (right_x, _), (left_x, _) = plane.to_plane(np.array([[-10.0, 0, 110], [10, 0, 110]]))
            assert left_x > right_x


def test_front_is_up_in_axial_and_left_in_sagittal_and_the_head_is_up():
    for grid in (*_ALL_GRIDS, oblique()):
        front, back, above = np.array([[0.0, -10, 110], [0, 10, 110], [0, -10, 140]])
        shown = {n: plane_of(grid, n).to_plane(np.array([front, back, above])) for n in PLANES}
        assert shown["axial"][0, 1] < shown["axial"][1, 1]
        assert shown["sagittal"][0, 0] < shown["sagittal"][1, 0]
        assert shown["sagittal"][2, 1] < shown["sagittal"][0, 1]
        assert shown["coronal"][2, 1] < shown["coronal"][0, 1]


@pytest.mark.parametrize(
    ("name", "letters"), [("axial", "RLAP"), ("coronal", "RLHF"), ("sagittal", "APHF")]
)
def test_letters_name_the_sides_of_the_patient(name, letters):
    for grid in (*_ALL_GRIDS, oblique(), oblique(-40)):
        assert "".join(plane_of(grid, name).letters) == letters


@pytest.mark.parametrize("name", PLANES)
def test_plane_and_patient_are_inverse(name):
    for grid in (*_ALL_GRIDS[::7], oblique()):
        plane = plane_of(grid, name)
        position = plane.to_patient(7.25, 5.5, 3)
        assert plane.slice_at(position) == 3
        assert plane.to_plane(np.array([position]))[0] == pytest.approx([7.25, 5.5])


def test_the_voxel_under_a_point_is_the_one_that_is_drawn_there():
    rng = np.random.default_rng(0)
    for grid in _ALL_GRIDS[::5]:
        voxels = rng.integers(-1000, 1000, grid.shape).astype(np.int16)
        plane = plane_of(grid, "coronal")
        voxel = plane.voxel_at(6.9, 2.1, 4)
        assert voxel is not None
        assert voxels[voxel] == plane.slice_of(voxels, 4)[2, 6]
    assert plane_of(CANONICAL, "axial").voxel_at(-0.1, 3, 0) is None


def test_next_slice_goes_to_the_feet_the_back_and_the_left():
    for grid in _ALL_GRIDS:
        for name, axis, sense in (("axial", 2, -1), ("coronal", 1, 1), ("sagittal", 0, 1)):
            plane = plane_of(grid, name)
            here, there = (plane.to_patient(3, 3, 5 + n * plane.next_step)[axis] for n in (0, 1))
            assert np.sign(there - here) == sense
