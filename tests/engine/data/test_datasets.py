"""A data set is read, or refused with what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.data.datasets import DatasetError, find_entries, list_entries
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
        ("subtypes.csv", "case,subtype\na,²\n", "subtypes.csv needs the columns case"),
        ("dataset.json", '{"subtypes": 5}', '"subtypes" in its dataset.json is not a list'),
        ("imagesTr/a_0000.nii.gz", None, "the label map of case a has no image in imagesTr"),
        ("labelsTr/a.nii.gz", None, "the image of case a has no label map in labelsTr"),
        ("subtypes.csv", "case,subtype\na,1\na,1\n", "it lists case a twice"),
        ("annotation.csv", "case,lesion\na,maybe\n", "'maybe' is none of annotated, absent"),
        ("annotation.csv", "patient_x,lesion\na,absent\n", "annotation.csv needs the columns"),
        ("dataset.json", '{"annotation": ["lesion"]}', '"annotation" in its dataset.json'),
        ("dataset.json", '{"labels": {"liver": 1}}', "no label is called pancreas or lesion"),
        ("dataset.json", '{"labels": {"pancreas": 1, "cancer": 1}}', "gives one value to two"),
        ("dataset.json", '{"labels": {"pancreas": 300}}', "has values beyond 0 to 255"),
        ("dataset.json", '{"labels": {"pancreas": "x"}}', "values that are no whole numbers"),
        ("dataset.json", '{"labels": 3}', '"labels" is not an object'),
        ("dataset.json", '{"training": ["a"]}', "lists training cases without image and label"),
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


def _describe(dataset: Path, **fields: object) -> None:
    (dataset / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz", **fields}))


def _values(dataset: Path) -> dict[int, int]:
    return dict(find_entries(dataset)[0].values)


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"background": 0, "pancreas": 1, "lesion": 2}, {0: 0, 1: 1, 2: 2}),
        ({"0": "background", "1": "pancreas", "2": "cancer"}, {0: 0, 1: 1, 2: 2}),
        ({"background": 0, "Tumour": 1, "Pancreas": 2}, {0: 0, 1: 2, 2: 1}),
        ({"background": 0, "tumor": 4, "pancreas": "2"}, {0: 0, 4: 2, 2: 1}),
        ({"background": 0, "pancreas": [1, 2], "lesion": [2]}, {0: 0, 1: 1, 2: 2}),
        ({"pdac_lesion": 1, "veins": 2, "pancreas_parenchyma": 4}, {0: 0, 1: 2, 2: 0, 4: 1}),
    ],
)
def test_labels_are_known_by_their_names(dataset: Path, labels, values) -> None:
    _describe(dataset, labels=labels)
    assert _values(dataset) == values


def test_label_values_become_those_of_islet(dataset: Path) -> None:
    _describe(dataset, labels={"background": 0, "pancreas": 2, "lesion": 1})
    case = find_entries(dataset)[0].read()
    assert case.labels is not None
    assert case.labels.labels[2, 3, 3] == 1
    assert case.labels.names == {1: "pancreas", 2: "lesion"}


def test_a_value_without_a_name_is_refused(dataset: Path) -> None:
    _describe(dataset, labels={"background": 0, "pancreas": 1})
    with pytest.raises(DatasetError, match="case a has the label value 2, unnamed"):
        find_entries(dataset)[0].read()


def test_other_structures_are_listed(dataset: Path) -> None:
    _describe(dataset, labels={"background": 0, "pancreas": 1, "lesion": 2, "aorta": 3})
    assert list_entries(dataset).ignored == ("aorta",)


def test_the_layout_of_the_decathlon_is_read(dataset: Path) -> None:
    for case_id in ("a", "b"):
        image = dataset / "imagesTr" / f"{case_id}_0000.nii.gz"
        image.rename(dataset / "imagesTr" / f"{case_id}.nii.gz")
    training = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in ("b", "a")
    ]
    labels = {"0": "background", "1": "pancreas", "2": "cancer"}
    (dataset / "dataset.json").write_text(json.dumps({"training": training, "labels": labels}))
    entries = find_entries(dataset)
    assert [(entry.case_id, entry.subtype) for entry in entries] == [("a", 2), ("b", None)]
    assert entries[0].read().volume.voxels_hu.shape == (6, 8, 8)


def test_images_listed_without_their_channel_are_found(dataset: Path) -> None:
    pair = {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}
    (dataset / "dataset.json").write_text(json.dumps({"training": [pair]}))
    assert [entry.image.name for entry in find_entries(dataset)] == ["a_0000.nii.gz"]


def test_hidden_files_of_a_mac_are_no_cases(dataset: Path) -> None:
    (dataset / "labelsTr" / "._a.nii.gz").write_bytes(b"")
    assert [entry.case_id for entry in find_entries(dataset)] == ["a", "b"]


@pytest.mark.parametrize(
    "table",
    [
        "Names,Subtype\na.nii.gz,2\nb.nii.gz,\n",
        "\ufeffcase_id,class\na,2.0\nb,\n",
        " ID , lesion_subtype \n a , 2 \n b , \n",
    ],
)
def test_tables_of_subtypes_are_spelt_in_many_ways(dataset: Path, table: str) -> None:
    (dataset / "subtypes.csv").write_text(table, encoding="utf-8")
    assert [entry.subtype for entry in find_entries(dataset)] == [2, None]


def test_a_structure_without_a_label_value_was_not_looked_for(dataset: Path) -> None:
    _describe(dataset, labels={"background": 0, "pancreas": 2})
    assert {entry.annotated for entry in find_entries(dataset)} == {frozenset({"pancreas"})}


def test_a_case_may_differ_from_its_data_set(dataset: Path) -> None:
    _describe(dataset, annotation={"lesion": "unlabelled"})
    (dataset / "annotation.csv").write_text("case,pancreas,lesion\nb,,absent\n")
    a, b = find_entries(dataset)
    assert (a.annotated, a.absent) == (frozenset({"pancreas"}), frozenset())
    assert (b.annotated, b.absent) == (frozenset({"pancreas", "lesion"}), frozenset({"lesion"}))
    assert a.read().annotated == {"pancreas"}
