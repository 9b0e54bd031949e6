"""What the probe says under the pointer is what is known of the openly licensed CTs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.views.slice_view import SliceView
from app.views.view_grid import ViewGrid
from engine.case import Case
from engine.data.images import read_labels, resample_labels
from engine.data.source import best_source, find_sources, read_case

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints")  # of the offscreen platform


@pytest.fixture
def grid(qtbot) -> ViewGrid:
    widget = ViewGrid()
    qtbot.addWidget(widget)
    widget.set_layout("planes")
    widget.resize(1200, 900)
    widget.show()
    return widget


def _show(grid: ViewGrid, path: Path) -> Case:
    case = read_case(best_source(find_sources(path)))
    grid.show_case(case)
    return case


def _probed(grid: ViewGrid, name: str, positions_mm: np.ndarray) -> np.ndarray:
    view = grid.pane(name)
    assert isinstance(view, SliceView)
    values: list[float] = []
    for position in positions_mm:
        where = tuple(float(v) for v in position)
        grid.set_cursor(where)
        probe = view.probe_at(view.to_px(where))
        assert probe is not None
        assert probe.hu is not None
        values.append(probe.hu)
    return np.array(values)


def _disc(centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    offsets = np.arange(-radius_mm, radius_mm + 0.1, 2.0)
    x, y = np.meshgrid(offsets, offsets)
    inside = np.hypot(x, y) < radius_mm
    flat = np.column_stack([x[inside], y[inside], np.zeros(inside.sum())])
    return np.asarray(centre_mm) + flat


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_aorta_and_liver_of_the_planning_ct(grid, test_data: Path, plane: str) -> None:
    _show(grid, test_data / "planning_ct" / "series")
    aorta = _probed(grid, plane, _disc((25.5, 102.0, 317.0), 7.0))
    liver = _probed(grid, plane, _disc((-87.0, 38.0, 374.0), 10.0))
    assert aorta.mean() == pytest.approx(231, abs=8)
    assert liver.mean() == pytest.approx(105, abs=4)


def test_aorta_and_liver_of_the_slab(grid, test_data: Path) -> None:
    case = _show(grid, test_data / "abdomen_slab_j2k")
    path = test_data / "abdomen_slab_j2k_labels" / "totalseg117.nii.gz"
    labels = resample_labels(read_labels(path, {5: "liver", 52: "aorta"}), case.volume.geometry)
    rng = np.random.default_rng(0)
    for value, expected in ((52, 177), (5, 89)):
        found = rng.permutation(np.argwhere(labels.labels == value))[:300]
        probed = _probed(grid, "axial", case.volume.geometry.to_patient(found))
        assert (probed == case.volume.voxels_hu[tuple(found.T)]).all()
        whole = case.volume.voxels_hu[labels.labels == value]
        assert whole.mean() == pytest.approx(expected, abs=0.5)


def test_the_extremes_of_the_unenhanced_abdomen(grid, test_data: Path) -> None:
    case = _show(grid, test_data / "abdomen_3mm" / "ct.nii.gz")
    voxels = case.volume.voxels_hu
    for flat, expected in ((voxels.argmin(), -1207), (voxels.argmax(), 3382)):
        index = np.array([np.unravel_index(int(flat), voxels.shape)])
        assert _probed(grid, "axial", case.volume.geometry.to_patient(index))[0] == expected
