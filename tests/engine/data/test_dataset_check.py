"""Every kind of broken case is found before anything starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data import dataset_check
from engine.data.case_facts import facts_from_json, measure
from engine.data.dataset_check import (
    BrokenDatasetError,
    DatasetReport,
    check_dataset,
    usable_entries,
    whole_entries,
)
from engine.data.datasets import DatasetError
from engine.data.images import write_labels, write_volume
from engine.data.nifti import write_nifti
from engine.errors import CancelledError
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume
from tests.engine.data.tiny_dataset import GRID, NAMES, tiny_case, write_tiny


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "data")


def _image(data: Path, case_id: str = "b") -> Path:
    return data / "imagesTr" / f"{case_id}_0000.nii.gz"


def _labels(data: Path, case_id: str = "b") -> Path:
    return data / "labelsTr" / f"{case_id}.nii.gz"


def _true_labels() -> np.ndarray:
    case = tiny_case("b", 1, 1)
    assert case.labels is not None
    return case.labels.labels.copy()


def _no_image(data: Path) -> None:
    _image(data).unlink()


def _no_labels(data: Path) -> None:
    _labels(data).unlink()


def _cut_image(data: Path) -> None:
    content = _image(data).read_bytes()
    _image(data).write_bytes(content[: len(content) // 2])


def _other_file_as_labels(data: Path) -> None:
    _labels(data).write_bytes(b"no labels at all")


def _other_shape(data: Path) -> None:
    labels = np.ones((20, 24, 27), np.uint8)
    write_labels(
        LabelMap(labels, NAMES, from_spacing(labels.shape, GRID.spacing_mm)), _labels(data)
    )


def _other_place(data: Path) -> None:
    moved = from_spacing(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0))
    write_labels(LabelMap(_true_labels(), NAMES, moved), _labels(data))


def _probabilities(data: Path) -> None:
    write_nifti((_true_labels() * 0.4).astype(np.float32), GRID, _labels(data))


def _negative(data: Path) -> None:
    write_nifti(_true_labels().astype(np.int16) - 1, GRID, _labels(data))


def _empty(data: Path) -> None:
    write_labels(LabelMap(np.zeros(GRID.shape, np.uint8), NAMES, GRID), _labels(data))


def _seventh_value(data: Path) -> None:
    labels = _true_labels()
    labels[0, 0, 0] = 7
    write_labels(LabelMap(labels, NAMES, GRID), _labels(data))


def _fifth_subtype(data: Path) -> None:
    (data / "subtypes.csv").write_text("case,subtype\na,0\nb,5\nc,2\nd,\n")


def _subtype_in_words(data: Path) -> None:
    (data / "subtypes.csv").write_text("case,subtype\na,0\nb,cyst\nc,2\nd,\n")


def _called_absent(data: Path) -> None:
    (data / "annotation.csv").write_text("case,lesion\nb,absent\n")


def _called_unlabelled(data: Path) -> None:
    (data / "annotation.csv").write_text("case,lesion\nb,unlabelled\n")


def _named_twice(data: Path) -> None:
    (data / "subtypes.csv").write_text("case,subtype\na,0\nb,1\nb,2\nc,2\nd,\n")


def _not_numbers(data: Path) -> None:
    voxels = np.array(tiny_case("b", 1, 1).volume.voxels_hu, np.float32)
    voxels[3, 4, 5] = np.nan
    write_nifti(voxels, GRID, _image(data))


def _constant(data: Path) -> None:
    write_volume(Volume(np.full(GRID.shape, -1000, np.int16), GRID), _image(data))


def _metres(data: Path) -> None:
    grid = from_spacing(GRID.shape, (25.0, 1.2, 1.0))
    write_volume(replace(tiny_case("b", 1, 1).volume, geometry=grid), _image(data))
    write_labels(LabelMap(_true_labels(), NAMES, grid), _labels(data))


_BROKEN: list[tuple[Callable[[Path], None], str, str]] = [
    (_no_image, "missing image", "The case has no image file."),
    (_no_labels, "missing labels", "The case has no label file."),
    (_cut_image, "unreadable image", "The file is damaged, cut short or no NIfTI file."),
    (_other_file_as_labels, "unreadable labels", "The file is damaged, cut short"),
    (_other_shape, "geometry", "Image and labels differ in shape or in where their voxels lie."),
    (_other_place, "geometry", "Image and labels differ in shape or in where their voxels lie."),
    (_probabilities, "values", "The labels are not whole numbers from 0 to 255."),
    (_negative, "values", "The labels are not whole numbers from 0 to 255."),
    (_empty, "empty labels", "The label file is empty."),
    (_seventh_value, "unknown label", "The labels hold 7, which dataset.json does not name."),
    (_fifth_subtype, "wrong subtype", "The subtype is '5', not one of 0 to 2."),
    (_subtype_in_words, "wrong subtype", "The subtype is 'cyst', not one of 0 to 2."),
    (
        _called_absent,
        "contradiction",
        "The data set calls the lesion absent, but the case has one.",
    ),
    (_called_unlabelled, "contradiction", "The data set calls the lesion unlabelled, but the case"),
    (_named_twice, "duplicate", "Case b is listed more than once."),
    (_not_numbers, "voxels without value", "1 voxel is not a number."),
    (_constant, "constant image", "Every voxel of the image is -1000."),
    (_metres, "spacing", "Voxels of 25 x 1.2 x 1 mm are not those of a CT of the abdomen."),
]


def _names(report: DatasetReport) -> list[tuple[str, str]]:
    return [(problem.case_id, problem.kind) for problem in report.problems]


def test_a_whole_data_set_has_no_problem(data: Path) -> None:
    report = check_dataset(data)
    assert report.problems == ()
    assert [entry.case_id for entry in whole_entries(report)] == ["a", "b", "c", "d"]
    assert report.summary == (
        "4 cases: 1 of subtype 0, 1 of subtype 1, 1 of subtype 2, 1 without a subtype; none broken."
    )


def test_one_case_is_spoken_of_as_one(data: Path) -> None:
    report = check_dataset(data)
    alone = DatasetReport(report.entries[:1], report.facts, (), 0)
    assert alone.summary == "1 case: 1 of subtype 0; none broken."
    with (data / "subtypes.csv").open("a") as file:
        file.write("stranger,0\n")
    (problem,) = check_dataset(data).problems
    assert problem.message == "subtypes.csv names 1 case that the data set does not hold."


@pytest.mark.parametrize(("damage", "kind", "message"), _BROKEN)
def test_a_broken_case_is_found_and_the_others_stay_usable(
    data: Path, damage: Callable[[Path], None], kind: str, message: str
) -> None:
    damage(data)
    report = check_dataset(data)
    assert [(problem.case_id, problem.kind) for problem in report.fatal] == [("b", kind)]
    assert report.fatal[0].message.startswith(message)
    assert report.fatal[0].message.endswith(".")
    assert [entry.case_id for entry in usable_entries(report)] == ["a", "c", "d"]
    with pytest.raises(BrokenDatasetError) as caught:
        whole_entries(report)
    assert caught.value.message.startswith(f"One case is broken.\nb: {message}")
    assert caught.value.remedy.startswith("Put them right, or leave them out with --skip-broken")


def test_all_broken_cases_are_listed_at_once(data: Path) -> None:
    _image(data, "a").unlink()
    _labels(data, "c").write_bytes(b"nothing")
    _empty(data)
    report = check_dataset(data)
    found = [("a", "missing image"), ("b", "empty labels"), ("c", "unreadable labels")]
    assert _names(report) == found
    with pytest.raises(BrokenDatasetError) as caught:
        whole_entries(report)
    assert caught.value.message.splitlines()[0] == "3 cases are broken."
    assert len(caught.value.message.splitlines()) == 4


def test_a_long_list_is_cut_and_says_so(tmp_path: Path) -> None:
    data = write_tiny(tmp_path / "data", 15)
    shutil.rmtree(data / "imagesTr")
    report = check_dataset(data)
    assert len(report.fatal) == 15
    with pytest.raises(BrokenDatasetError) as caught:
        usable_entries(report)
    assert caught.value.message.splitlines()[-1] == "And 3 more problems."


def test_values_like_1_0000153_are_rounded_and_counted(data: Path) -> None:
    for case_id in ("a", "b"):
        case = tiny_case(case_id, ord(case_id) - 97, ord(case_id) - 97)
        assert case.labels is not None
        nearly = case.labels.labels.astype(np.float32) * np.float32(1.0000153)
        write_nifti(nearly, GRID, _labels(data, case_id))
    report = check_dataset(data)
    assert report.num_rounded == 2
    assert report.fatal == ()
    assert [problem.message for problem in report.problems] == [
        "2 label files hold values like 1.0000153; they are rounded."
    ]
    labels = whole_entries(report)[1].read().labels
    assert labels is not None
    assert np.array_equal(labels.labels, _true_labels())


def test_a_healthy_case_may_be_called_absent_or_unlabelled(data: Path) -> None:
    (data / "annotation.csv").write_text("case,lesion\nd,absent\n")
    assert check_dataset(data).problems == ()
    (data / "annotation.csv").write_text("case,lesion\nd,unlabelled\n")
    assert check_dataset(data).problems == ()


def test_a_case_without_labels_may_be_empty_where_nobody_drew_the_pancreas(data: Path) -> None:
    _empty(data)
    (data / "annotation.csv").write_text("case,pancreas,lesion\nb,unlabelled,absent\n")
    (data / "subtypes.csv").unlink()
    assert check_dataset(data).problems == ()


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("case,subtype\na,0\nc,2\nd,\n", "no subtype"),
        ("case,subtype\na,0\nb,\nc,2\nd,\n", "no subtype"),
        ("case,subtype\na,0\nb,1\nc,2\nd,1\n", "subtype without lesion"),
        ("case,subtype\na,0\nb,1\nc,2\nd,\ne,1\n", "unknown cases"),
    ],
)
def test_an_odd_subtype_is_noted_but_nothing_is_broken(data: Path, table: str, kind: str) -> None:
    (data / "subtypes.csv").write_text(table)
    report = check_dataset(data)
    assert [problem.kind for problem in report.problems] == [kind]
    assert report.fatal == ()


def test_more_subtypes_may_be_named(data: Path) -> None:
    _fifth_subtype(data)
    described = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**described, "subtypes": list("abcdef")}))
    assert check_dataset(data).problems == ()


def test_unknown_structures_are_noted(data: Path) -> None:
    labels = {"background": 0, "pancreas": 1, "tumour": 2, "aorta": 7}
    (data / "dataset.json").write_text(json.dumps({"labels": labels}))
    _seventh_value(data)
    report = check_dataset(data)
    assert [problem.message for problem in report.problems] == [
        "These labels count as background: aorta."
    ]


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        check_dataset(tmp_path)


def test_unchanged_files_are_read_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = check_dataset(data)
    read: list[str] = []

    def counted(entry):
        read.append(entry.case_id)
        return measure(entry)

    monkeypatch.setattr(dataset_check, "measure", counted)
    assert check_dataset(data).facts == first.facts
    assert read == []
    _empty(data)
    assert _names(check_dataset(data)) == [("b", "empty labels")]
    assert read == ["b"]


def test_a_damaged_memory_is_forgotten(data: Path) -> None:
    check_dataset(data)
    memory = dataset_check._Memory(data)._path
    memory.write_text('{"a": {"key"')
    assert check_dataset(data).problems == ()
    assert set(json.loads(memory.read_text())) == {"a", "b", "c", "d"}


def test_facts_survive_json(data: Path) -> None:
    for entry in check_dataset(data).entries:
        facts = measure(entry)
        assert facts_from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_are_those_of_the_case(data: Path) -> None:
    facts = check_dataset(data).facts
    labels = _true_labels()
    assert facts["b"].shape == GRID.shape
    assert facts["b"].spacing_mm == pytest.approx(GRID.spacing_mm)
    assert dict(facts["b"].counts) == {v: int((labels == v).sum()) for v in (0, 1, 2)}
    assert facts["b"].lesions_mm3 == pytest.approx([4 * 5 * 6 * 2.5 * 1.2 * 1.0])
    assert facts["d"].lesions_mm3 == ()
    assert sum(count for _, count in facts["b"].histogram) == (labels > 0).sum()


def test_a_check_can_be_cancelled(data: Path) -> None:
    def cancel(_stage: str, fraction: float) -> None:
        if fraction > 0:
            raise CancelledError

    with pytest.raises(CancelledError):
        check_dataset(data, cancel)


def test_the_report_is_json(data: Path) -> None:
    _empty(data)
    report = json.loads(json.dumps(check_dataset(data).to_json()))
    assert report == {
        "num_cases": 4,
        "num_broken": 1,
        "num_rounded": 0,
        "problems": [
            {
                "case_id": "b",
                "kind": "empty labels",
                "message": "The label file is empty.",
                "is_fatal": True,
            },
        ],
    }
