"""The figures of a data set are those of its cases, and a patch fits its budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.dataset_check import check_dataset
from engine.data.fingerprint import fingerprint, plan_patch, plan_spacing
from tests.engine.data.tiny_dataset import GRID, tiny_case, write_tiny


def test_the_figures_are_those_of_the_labelled_voxels(tmp_path: Path) -> None:
    found = fingerprint(check_dataset(write_tiny(tmp_path / "data")))
    cases = [tiny_case("x", subtype, seed) for seed, subtype in enumerate((0, 1, 2, None))]
    values = np.concatenate(
        [case.volume.voxels_hu[case.labels.labels > 0] for case in cases if case.labels]
    )
    assert found.hu_mean == pytest.approx(values.mean())
    assert found.hu_sd == pytest.approx(values.std())
    low, high = np.percentile(values, (0.5, 99.5))
    assert found.hu_window == pytest.approx((low, high), abs=1.0)
    assert found.num_cases == 4
    assert found.subtypes == (("0", 1), ("1", 1), ("2", 1), ("none", 1))
    assert found.num_lesions == (("0", 1), ("1", 3))
    assert found.lesion_mm3 == pytest.approx([4 * 5 * 6 * 2.5 * 1.2 * 1.0] * 5)
    assert found.spacing_mm[2] == pytest.approx(GRID.spacing_mm)
    assert found.planned_spacing_mm == pytest.approx(GRID.spacing_mm)
    assert found.planned_shape == GRID.shape
    assert json.loads(json.dumps(found.to_json()))["subtypes"]["none"] == 1


def test_broken_cases_do_not_count(tmp_path: Path) -> None:
    data = write_tiny(tmp_path / "data")
    (data / "labelsTr" / "a.nii.gz").unlink()
    found = fingerprint(check_dataset(data))
    assert (found.num_cases, found.subtypes[0]) == (3, ("1", 1))
    for path in (data / "labelsTr").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no case is usable"):
        fingerprint(check_dataset(data))


def test_the_spacing_is_the_median_unless_one_axis_is_much_coarser() -> None:
    spacings = np.array([[s, 0.8, 0.8] for s in (1.0, 2.0, 2.5)])
    assert plan_spacing(spacings, np.full((3, 3), 300.0)) == (2.0, 0.8, 0.8)
    thick = np.array([[s, 0.8, 0.8] for s in (2.0, 5.0, 5.0)])
    shapes = np.array([[60.0, 512.0, 512.0]] * 3)
    assert plan_spacing(thick, shapes) == pytest.approx((2.6, 0.8, 0.8))
    # As many slices as rows: nothing would be gained.
    assert plan_spacing(thick, np.full((3, 3), 300.0)) == (5.0, 0.8, 0.8)
    # Never finer than the other axes.
    fine = np.array([[s, 0.8, 0.8] for s in (0.2, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0)])
    assert plan_spacing(fine, np.array([[60.0, 512.0, 512.0]] * 7))[0] >= 0.8


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(20, 600)] * 3),
    st.tuples(*[st.floats(0.5, 5.0)] * 3),
    st.integers(32**3, 160**3),
    st.tuples(*[st.sampled_from([1, 8, 16, 32])] * 3),
)
def test_a_patch_is_as_large_as_budget_and_volume_allow(shape, spacing, budget, divisors) -> None:
    patch = plan_patch(shape, spacing, budget, divisors)
    assert np.prod(patch) <= budget
    for axis in range(3):
        assert patch[axis] % divisors[axis] == 0
        assert patch[axis] < shape[axis] + divisors[axis]
        larger = list(patch)
        larger[axis] += divisors[axis]
        assert patch[axis] >= shape[axis] or np.prod(larger) > budget


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(100, 600)] * 3), st.integers(64**3, 128**3))
def test_a_patch_has_the_shape_of_the_volume(shape, budget) -> None:
    patch = plan_patch(shape, (1.0, 1.0, 1.0), budget, (1, 1, 1))
    shares = np.array(patch) / np.array(shape)
    # All axes grow together until one more voxel is too much, or the volume is reached.
    assert shares.max() - shares.min() <= 4 / min(shape) or np.prod(patch) >= 0.97 * budget


def test_of_axes_alike_the_one_shortest_in_mm_grows_first() -> None:
    assert plan_patch((64, 64, 64), (1.0, 2.0, 3.0), 8 * 8 * 16, (8, 8, 8)) == (16, 8, 8)


def test_a_budget_below_the_smallest_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        plan_patch((64, 64, 64), (1.0, 1.0, 1.0), 16**3 - 1, (16, 16, 16))
