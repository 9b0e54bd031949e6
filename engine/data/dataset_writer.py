"""Write cases as a training data set in nnU-Net's raw layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.case import Case
from engine.data.images import write_labels, write_volume
from engine.errors import IsletError

LABELS = {"background": 0, "pancreas": 1, "lesion": 2}
"""Values as in the Medical Segmentation Decathlon's task 7."""


class Row(NamedTuple):
    """A case as `subtypes.csv` lists it; None is healthy."""

    case_id: str
    subtype: int | None


def write_dataset(cases: Iterable[Case], folder: Path) -> int:
    """Write imagesTr, labelsTr, dataset.json and subtypes.csv.

    Cases are written as they come, so a generator needs memory for one.

    Returns:
        The number of cases written.

    Raises:
        IsletError: If the folder holds a data set, or a case has no labels.
    """
    begin_dataset(folder)
    rows = [write_dataset_case(case, folder) for case in cases]
    end_dataset(rows, folder)
    return len(rows)


def begin_dataset(folder: Path) -> None:
    """Make the folders of a data set.

    Raises:
        IsletError: If the folder holds one.
    """
    if (folder / "dataset.json").exists() or (folder / "imagesTr").exists():
        raise IsletError(
            "The folder holds a data set already.",
            remedy="Choose a new or empty folder.",
        )
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)


def write_dataset_case(case: Case, folder: Path) -> Row:
    """Write image and labels of a case into a data set that was begun.

    Raises:
        IsletError: If the case has no labels of what a reader looks for, or writing fails.
    """
    if case.labels is None or not case.annotated >= {"pancreas", "lesion"}:
        raise IsletError(
            "A case without labels of pancreas and lesion cannot go into a training data set.",
            remedy="Annotate the case, or leave it out.",
        )
    write_volume(case.volume, folder / "imagesTr" / f"{case.case_id}_0000.nii.gz")
    write_labels(case.labels, folder / "labelsTr" / f"{case.case_id}.nii.gz")
    return Row(case.case_id, case.subtype)


def end_dataset(rows: Sequence[Row], folder: Path) -> None:
    """Write subtypes.csv, with the columns case and subtype, and dataset.json."""
    _write_subtypes(rows, folder)
    # Last, so that a data set with a dataset.json is a complete one.
    _write_description(len(rows), folder)


def _write_subtypes(rows: Sequence[Row], folder: Path) -> None:
    with (folder / "subtypes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "subtype"))
        writer.writerows((row.case_id, "" if row.subtype is None else row.subtype) for row in rows)


def _write_description(num_cases: int, folder: Path) -> None:
    description = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }
    text = json.dumps(description, indent=2) + "\n"
    (folder / "dataset.json").write_text(text, encoding="utf-8")
