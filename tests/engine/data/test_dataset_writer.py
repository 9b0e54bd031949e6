from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case
from engine.data.dataset_writer import write_dataset
from engine.data.images import read_image, read_labels
from engine.errors import IsletError
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume

NAMES = {1: "pancreas", 2: "lesion"}


def make_case(case_id: str, subtype: int | None) -> Case:
    geometry = from_spacing((4, 6, 8), (2.0, 1.0, 1.5), (1.0, 2.0, 3.0))
    rng = np.random.default_rng(len(case_id))
    voxels = rng.integers(-100, 200, geometry.shape).astype(np.int16)
    labels = rng.integers(0, 3, geometry.shape).astype(np.uint8)
    return Case(
        case_id=case_id,
        volume=Volume(voxels_hu=voxels, geometry=geometry),
        labels=LabelMap(labels=labels, names=NAMES, geometry=geometry),
        annotated=frozenset(NAMES.values()),
        subtype=subtype,
    )


def test_a_data_set_has_the_layout_that_nnunet_reads(tmp_path: Path) -> None:
    cases = (make_case("phantom_1", 2), make_case("phantom_22", None))
    assert write_dataset(iter(cases), tmp_path) == 2
    description = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert description == {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "pancreas": 1, "lesion": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    for case in cases:
        volume = read_image(tmp_path / "imagesTr" / f"{case.case_id}_0000.nii.gz")
        labels = read_labels(tmp_path / "labelsTr" / f"{case.case_id}.nii.gz", NAMES)
        assert case.labels is not None
        assert np.array_equal(volume.voxels_hu, case.volume.voxels_hu)
        assert np.array_equal(labels.labels, case.labels.labels)
        assert volume.geometry.is_same_as(case.volume.geometry)


def test_healthy_cases_have_an_empty_subtype(tmp_path: Path) -> None:
    write_dataset((make_case("phantom_1", 0), make_case("phantom_22", None)), tmp_path)
    table = (tmp_path / "subtypes.csv").read_text(encoding="utf-8")
    assert table == "case,subtype\nphantom_1,0\nphantom_22,\n"


def test_an_existing_data_set_is_not_written_over(tmp_path: Path) -> None:
    write_dataset((make_case("phantom_1", 0),), tmp_path)
    with pytest.raises(IsletError) as caught:
        write_dataset((), tmp_path)
    assert caught.value.message == "The folder holds a data set already."
    assert caught.value.remedy == "Choose a new or empty folder."


def test_a_case_without_labels_is_refused(tmp_path: Path) -> None:
    bare = Case(case_id="bare", volume=make_case("phantom_1", 0).volume)
    with pytest.raises(IsletError) as caught:
        write_dataset((bare,), tmp_path)
    assert "without labels" in caught.value.message
    assert caught.value.remedy == "Annotate the case, or leave it out."
    assert not (tmp_path / "dataset.json").exists()
