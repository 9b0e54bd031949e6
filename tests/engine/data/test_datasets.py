"""A data set is read, or refused with what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.data.datasets import DatasetError, find_entries
from engine.data.images import write_labels, write_volume
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    grid = from_spacing((6, 8, 8), (2.0, 1.0, 1.0))
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    labels = np.zeros(grid.shape, np.uint8)
    labels[2, 3, 3] = 2
    for case_id in ("b", "a"):
        volume = Volume(np.full(grid.shape, -50, np.int16), grid)
        write_volume(volume, tmp_path / "imagesTr" / f"{case_id}_0000.nii.gz")
        named = LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid)
        write_labels(named, tmp_path / "labelsTr" / f"{case_id}.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz"}))
    (tmp_path / "subtypes.csv").write_text("case,subtype\na,2\nb,\n")
    return tmp_path


def test_cases_come_by_name_with_their_subtypes(dataset: Path) -> None:
    entries = find_entries(dataset)
    assert [(entry.case_id, entry.subtype) for entry in entries] == [("a", 2), ("b", None)]
    case = entries[0].read()
    assert case.labels is not None
    assert case.labels.labels[2, 3, 3] == 2
    assert case.annotated == {"pancreas", "lesion"}


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("dataset.json", None, "it has no dataset.json"),
        ("dataset.json", "{", "its dataset.json cannot be read"),
        ("dataset.json", "[]", "its dataset.json is not an object"),
        ("dataset.json", '{"file_ending": ".mha"}', "labelsTr holds no file that ends in .mha"),
        ("subtypes.csv", "case,subtype\na,cyst\n", "subtypes.csv needs the columns case"),
        ("subtypes.csv", "name,kind\na,1\n", "subtypes.csv needs the columns case"),
        ("imagesTr/a_0000.nii.gz", None, "the label map of case a has no image in imagesTr"),
    ],
)
def test_a_broken_data_set_is_refused_with_the_reason(
    dataset: Path, name: str, content: str | None, what: str
) -> None:
    if content is None:
        (dataset / name).unlink()
    else:
        (dataset / name).write_text(content)
    with pytest.raises(DatasetError) as caught:
        find_entries(dataset)
    assert what in caught.value.message
    assert caught.value.remedy.startswith("Check the folder")


def test_subtypes_are_optional(dataset: Path) -> None:
    (dataset / "subtypes.csv").unlink()
    assert {entry.subtype for entry in find_entries(dataset)} == {None}
