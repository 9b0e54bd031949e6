from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.data.phantom import Phantom, PhantomSpec, make_phantom, sample_spec
from engine.data.phantom.tissue import STRUCTURES
from engine.data.phantom.truth import truth_of

SMALL = {"pixel_mm": 2.5, "matrix": 144, "slice_thickness_mm": 5.0, "length_mm": 170.0}


@pytest.fixture(scope="module")
def phantoms() -> dict[int | None, Phantom]:
    """Return one small venous phantom of each kind."""
    return {
        subtype: make_phantom(sample_spec(40 + number, subtype=subtype, phase="venous", **SMALL))
        for number, subtype in enumerate((0, 1, 2, None))
    }


def centre_mm(phantom: Phantom, structure: str) -> np.ndarray:
    where = phantom.all_labels
    indices = np.argwhere(where.labels == where.value_of(structure))
    return where.geometry.to_patient(indices).mean(axis=0)


def mean_hu(phantom: Phantom, structure: str) -> float:
    mask = phantom.all_labels.labels == phantom.all_labels.value_of(structure)
    return float(np.median(phantom.case.volume.voxels_hu[mask]))


def test_the_same_spec_gives_the_same_bytes(phantoms: dict[int | None, Phantom]) -> None:
    first = phantoms[2]
    second = make_phantom(first.spec)
    assert first.case.volume.voxels_hu.tobytes() == second.case.volume.voxels_hu.tobytes()
    assert first.all_labels.labels.tobytes() == second.all_labels.labels.tobytes()


def test_organs_lie_on_their_own_sides(phantoms: dict[int | None, Phantom]) -> None:
    for phantom in phantoms.values():
        spine = centre_mm(phantom, "vertebrae")
        assert centre_mm(phantom, "liver")[0] < spine[0] - 25.0
        assert centre_mm(phantom, "spleen")[0] > spine[0] + 60.0
        assert centre_mm(phantom, "inferior_vena_cava")[0] < centre_mm(phantom, "aorta")[0]
        assert centre_mm(phantom, "aorta")[1] < spine[1] - 20.0
        assert centre_mm(phantom, "spleen")[2] > centre_mm(phantom, "duodenum")[2]


def test_the_pancreas_runs_from_the_right_of_the_midline_to_the_spleen(
    phantoms: dict[int | None, Phantom],
) -> None:
    labels = phantoms[None].case.labels
    assert labels is not None
    positions = labels.geometry.to_patient(np.argwhere(labels.labels > 0))
    head = positions[positions[:, 0] < np.percentile(positions[:, 0], 10)]
    tail = positions[positions[:, 0] > np.percentile(positions[:, 0], 95)]
    assert head[:, 0].mean() < -20.0
    assert tail[:, 0].mean() > 55.0
    assert tail[:, 2].mean() > head[:, 2].mean()
    assert tail[:, 1].mean() > positions[:, 1].mean()


def test_the_whole_pancreas_measures_what_a_pancreas_measures(
    phantoms: dict[int | None, Phantom],
) -> None:
    for phantom in phantoms.values():
        assert 35.0 < truth_of(phantom)["pancreas_ml"] < 140.0


def test_only_cases_with_a_subtype_hold_a_lesion(phantoms: dict[int | None, Phantom]) -> None:
    for subtype, phantom in phantoms.items():
        case = phantom.case
        assert case.labels is not None
        assert (case.labels.volume_mm3("lesion") > 100.0) == (subtype is not None)
        assert case.subtype == subtype
        assert case.annotated == {"pancreas", "lesion"}


def test_tissues_are_as_bright_as_in_the_portal_venous_phase(
    phantoms: dict[int | None, Phantom],
) -> None:
    for phantom in phantoms.values():
        assert 75.0 < mean_hu(phantom, "liver") < 140.0
        assert 105.0 < mean_hu(phantom, "aorta") < 235.0
        assert 75.0 < mean_hu(phantom, "spleen") < 160.0
        assert -130.0 < mean_hu(phantom, "fat") < -75.0
        assert mean_hu(phantom, "bowel_gas") < -500.0


def test_the_aorta_is_brightest_in_the_arterial_phase_and_dark_without_contrast() -> None:
    spec = PhantomSpec(seed=7, **SMALL)
    aorta = {
        phase: mean_hu(make_phantom(replace(spec, phase=phase)), "aorta")
        for phase in ("arterial", "unenhanced")
    }
    assert aorta["arterial"] > 220.0
    assert aorta["unenhanced"] < 70.0


def test_a_ductal_lesion_widens_the_duct(phantoms: dict[int | None, Phantom]) -> None:
    ducts = {s: p.all_labels.volume_mm3("pancreatic_duct") for s, p in phantoms.items()}
    assert ducts[0] > 2.0 * ducts[None]


def test_the_truth_names_the_lesion_where_the_labels_have_it(
    phantoms: dict[int | None, Phantom],
) -> None:
    phantom = phantoms[1]
    truth = truth_of(phantom)["lesion"]
    labels = phantom.case.labels
    assert labels is not None
    index = np.rint(labels.geometry.to_index([truth["centre_mm"]])[0]).astype(int)
    assert labels.labels[tuple(index)] == 2
    assert truth["volume_ml"] == pytest.approx(labels.volume_mm3("lesion") / 1000.0, abs=1e-3)
    assert truth["subtype"] == 1


def test_healthy_phantoms_have_no_lesion_in_their_truth(
    phantoms: dict[int | None, Phantom],
) -> None:
    assert truth_of(phantoms[None])["lesion"] is None


def test_every_label_of_the_wide_map_has_a_name(phantoms: dict[int | None, Phantom]) -> None:
    for phantom in phantoms.values():
        assert set(np.unique(phantom.all_labels.labels)) - {0} <= STRUCTURES.keys()


def test_sampled_specs_repeat_and_keep_what_is_fixed() -> None:
    assert sample_spec(3, subtype=1) == sample_spec(3, subtype=1)
    assert sample_spec(3) != sample_spec(4)
    assert sample_spec(3, phase="arterial", noise_hu=5.0).noise_hu == 5.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"subtype": 3},
        {"phase": "late"},
        {"slice_thickness_mm": 0.5},
        {"matrix": 64},
        {"length_mm": 90.0},
    ],
)
def test_specs_that_no_scanner_makes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PhantomSpec(seed=0, **wrong)
