"""A plan fits the data set and the machine, and keeps what the system is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.archive.registered import find_system
from engine.data.dataset_check import check_dataset
from engine.data.fingerprint import Fingerprint, fingerprint
from engine.run import Plan
from engine.system import System
from engine.training.dry_run import PlanTooLargeError, dry_run
from engine.training.plan import fit_to_data
from tests.engine.training.tiny import write_balls

_ISLET = find_system("islet").at("small")
_MEASURED = Fingerprint(
    num_cases=281,
    spacing_mm=((2.5, 0.8, 0.8),) * 5,
    shape=((93.0, 512.0, 512.0),) * 5,
    hu_mean=80.0,
    hu_sd=40.0,
    hu_window=(-90.0, 210.0),
    num_lesions=(("1", 281),),
    lesion_mm3=(100.0, 1e3, 5e3, 2e4, 1e5),
    subtypes=(("none", 281),),
    planned_spacing_mm=(2.5, 0.8, 0.8),
    planned_shape=(93, 512, 512),
)


def _plan(system: System) -> Plan:
    training = system.training
    spacing_mm = system.preparation.spacing_mm
    return Plan(system, "x", spacing_mm, training.patch_shape, training.batch_size, "fp32", 1)


def test_the_grid_and_the_densities_are_those_of_the_data() -> None:
    fitted = fit_to_data(_ISLET, _MEASURED, _plan(_ISLET))
    assert fitted.preparation.spacing_mm == (2.5, 0.8, 0.8)
    assert fitted.preparation.hu_window == (-90.0, 210.0)
    assert fitted.preparation.hu_mean == 80.0
    assert fitted.localiser == _ISLET.localiser


def test_the_patch_has_the_budget_of_the_system_and_the_shape_of_the_data() -> None:
    fitted = fit_to_data(_ISLET, _MEASURED, _plan(_ISLET))
    depth, height, width = fitted.training.patch_shape
    assert depth * height * width <= 48 * 64 * 80
    assert abs(height - width) <= 16 < height - depth
    assert all(length % 16 == 0 for length in fitted.training.patch_shape)
    assert fitted.inference.patch_shape == fitted.training.patch_shape


def test_anchors_keep_their_size_in_mm() -> None:
    fitted = fit_to_data(_ISLET, _MEASURED, _plan(_ISLET))
    own, new = (next(h for h in s.heads if h.name == "detection") for s in (_ISLET, fitted))
    for before, after in zip(own.params["anchors"], new.params["anchors"], strict=True):
        for axis in range(3):
            size_mm = before[axis] * _ISLET.preparation.spacing_mm[axis]
            assert after[axis] * (2.5, 0.8, 0.8)[axis] == pytest.approx(size_mm, abs=0.02)


def test_less_memory_gives_a_smaller_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = fit_to_data(_ISLET, _MEASURED, _plan(_ISLET)).training.patch_shape
    needed = dry_run(_plan(_ISLET)).needed_bytes
    monkeypatch.setattr("engine.training.dry_run._free_bytes", lambda _: round(0.9 * needed))
    tight = fit_to_data(_ISLET, _MEASURED, _plan(_ISLET)).training.patch_shape
    assert roomy[0] * roomy[1] * roomy[2] > tight[0] * tight[1] * tight[2]


def test_no_memory_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.training.dry_run._free_bytes", lambda _: 1_000_000)
    with pytest.raises(PlanTooLargeError):
        fit_to_data(_ISLET, _MEASURED, _plan(_ISLET))


def test_a_real_data_set_can_be_planned_for(tmp_path: Path) -> None:
    figures = fingerprint(check_dataset(write_balls(tmp_path / "balls", 6)))
    fitted = fit_to_data(_ISLET, figures, _plan(_ISLET))
    assert fitted.preparation.spacing_mm == (4.0, 4.0, 4.0)
    dry_run(replace(_plan(fitted)))
