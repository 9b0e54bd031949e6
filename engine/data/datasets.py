"""Training data sets in nnU-Net's raw layout and in that of the Medical Segmentation Decathlon."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.case import Case
from engine.data.images import SUFFIXES, read_image, read_labels
from engine.data.label_names import NAMES, STRUCTURES, values_of
from engine.errors import IsletError
from engine.volume import LabelMap

STATES = ("annotated", "absent", "unlabelled")
"""What a data set may say of a structure: labelled where it is there, known not to be there,
or not looked for."""

_HOW_TO = "Check the folder; 'islet phantom --format dataset' makes an example."
_CASE_COLUMNS = ("case", "case_id", "caseid", "names", "name", "id", "identifier", "filename")
_SUBTYPE_COLUMNS = ("subtype", "subtypes", "lesion_subtype", "class")


class DatasetError(IsletError):
    """A folder that is not a data set Islet can train on."""

    def __init__(self, what: str) -> None:
        super().__init__(f"This is not a usable data set: {what}.", remedy=_HOW_TO)


@dataclass(frozen=True, slots=True)
class Entry:
    """One case of a data set, on disk.

    Args:
        case_id: Its name in the data set.
        image: The CT.
        labels: Its reference labels.
        subtype: Lesion subtype; None for a healthy or unknown case.
        annotated: The structures a reader looked for.
        absent: Those of them that are known not to be there.
        values: Pairs of a value in the file and the value Islet uses for it: 1 pancreas,
            2 lesion.
    """

    case_id: str
    image: Path
    labels: Path
    subtype: int | None
    annotated: frozenset[str] = frozenset(STRUCTURES)
    absent: frozenset[str] = frozenset()
    values: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (2, 2))

    def read(self) -> Case:
        """Read the case's image and reference labels.

        Raises:
            IsletError: If a file cannot be read, or a label value has no name.
        """
        return Case(
            case_id=self.case_id,
            volume=read_image(self.image),
            labels=self._read_labels(),
            annotated=self.annotated,
            subtype=self.subtype,
        )

    def _read_labels(self) -> LabelMap:
        stored = read_labels(self.labels, NAMES)
        known = dict(self.values)
        found = np.flatnonzero(np.bincount(stored.labels.ravel(), minlength=256))
        unknown = [int(value) for value in found if int(value) not in known]
        if unknown:
            raise DatasetError(f"case {self.case_id} has the label value {unknown[0]}, unnamed")
        table = np.zeros(256, np.uint8)
        for value, meaning in known.items():
            table[value] = meaning
        return LabelMap(table[stored.labels], NAMES, stored.geometry)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a data set says it holds; nothing of it has been looked at.

    Args:
        entries: Its cases in the order of their names; a case listed twice is here twice.
        subtypes: By case what the table of subtypes says, as it stands there; None where the
            data set has no such table.
        repeated: Cases with several rows in one table.
        ignored: Names of label values that are neither pancreas nor lesion; they become
            background.
    """

    entries: tuple[Entry, ...]
    subtypes: Mapping[str, str] | None
    repeated: tuple[str, ...]
    ignored: tuple[str, ...]


def find_entries(folder: Path) -> tuple[Entry, ...]:
    """Return the training cases of a data set, in the order of their names.

    Reads `dataset.json` and, where they are there, `subtypes.csv` (columns case and subtype; an
    empty subtype is a healthy case) and `annotation.csv` (columns case, pancreas and lesion,
    each one of `STATES`; an empty cell is what `dataset.json` says under "annotation").

    Raises:
        DatasetError: If the folder has another layout, or a case lacks its image or labels.
    """
    listing = list_entries(folder)
    for entry in listing.entries:
        if not entry.image.exists():
            raise DatasetError(f"the label map of case {entry.case_id} has no image in imagesTr")
        if not entry.labels.exists():
            raise DatasetError(f"the image of case {entry.case_id} has no label map in labelsTr")
    twice = repeated_cases(listing)
    if twice:
        raise DatasetError(f"it lists case {twice[0]} twice")
    for text in (listing.subtypes or {}).values():
        if text and subtype_of(text) is None:
            raise DatasetError(
                "subtypes.csv needs the columns case and subtype, with whole numbers"
            )
    return listing.entries


def repeated_cases(listing: Listing) -> tuple[str, ...]:
    """Return the cases that the data set lists more than once."""
    counts = Counter(entry.case_id for entry in listing.entries)
    return tuple(dict.fromkeys((*(c for c, n in counts.items() if n > 1), *listing.repeated)))


def list_entries(folder: Path) -> Listing:
    """Return what a data set says it holds, without asking whether the files are there.

    Raises:
        DatasetError: If the folder has another layout.
    """
    described = describe(folder)
    files = _listed_files(folder, described) or _found_files(folder, described)
    try:
        values, ignored = values_of(described.get("labels"))
    except ValueError as error:
        raise DatasetError(f"{error} in its dataset.json") from None
    subtypes, repeated = _table(folder / "subtypes.csv", _SUBTYPE_COLUMNS, "case and subtype")
    annotation = _Annotation.read(folder, described)
    entries = [
        Entry(
            case_id,
            image,
            labels,
            subtype_of((subtypes or {}).get(case_id, "")),
            *annotation.of(case_id),
            values,
        )
        for case_id, image, labels in files
    ]
    return Listing(tuple(entries), subtypes, repeated, ignored)


def subtype_of(text: str) -> int | None:
    """Return the number of a subtype as a table writes it, or None where it is none."""
    # Tables with empty cells often come with 1.0 for 1.
    whole = text.removesuffix(".0")
    return int(whole) if whole.isdecimal() else None


def describe(folder: Path) -> dict[str, Any]:
    """Return what `dataset.json` says.

    Raises:
        DatasetError: If there is none, or it cannot be read.
    """
    try:
        described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError("it has no dataset.json") from None
    except (OSError, ValueError) as error:
        raise DatasetError("its dataset.json cannot be read") from error
    if not isinstance(described, dict):
        raise DatasetError("its dataset.json is not an object")
    if not isinstance(described.get("subtypes") or [], list | dict):
        raise DatasetError('"subtypes" in its dataset.json is not a list of names')
    return described


_Files = list[tuple[str, Path, Path]]


def _found_files(folder: Path, described: Mapping[str, Any]) -> _Files:
    """Find the files of nnU-Net's raw layout by their names."""
    ending = str(described.get("file_ending", ".nii.gz"))
    labels = _stems(folder / "labelsTr", ending)
    if not labels:
        raise DatasetError(f"labelsTr holds no file that ends in {ending}")
    cases = sorted(labels | _stems(folder / "imagesTr", f"_0000{ending}"))
    return [
        (
            case_id,
            folder / "imagesTr" / f"{case_id}_0000{ending}",
            folder / "labelsTr" / f"{case_id}{ending}",
        )
        for case_id in cases
    ]


def _stems(folder: Path, ending: str) -> set[str]:
    # Archives packed on a Mac hold a hidden ._ file beside every file.
    return {path.name.removesuffix(ending) for path in folder.glob(f"[!.]*{ending}")}


def _listed_files(folder: Path, described: Mapping[str, Any]) -> _Files:
    """Return the files that the Decathlon's `dataset.json` lists; none in other layouts."""
    listed = described.get("training")
    if not isinstance(listed, list):
        return []
    files: _Files = []
    for pair in listed:
        if not (isinstance(pair, dict) and {"image", "label"} <= pair.keys()):
            raise DatasetError("its dataset.json lists training cases without image and label")
        image, labels = folder / str(pair["image"]), folder / str(pair["label"])
        case_id = _without_suffix(labels.name)
        with_channel = image.with_name(f"{case_id}_0000{image.name.removeprefix(case_id)}")
        # nnU-Net 1 lists images without the number of their channel.
        is_listed = image.exists() or not with_channel.exists()
        files.append((case_id, image if is_listed else with_channel, labels))
    return sorted(files)


def _without_suffix(name: str) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _rows(path: Path, needs: str) -> list[dict[str, str]]:
    """Return the rows of a table with lower-case headers and bare cells; none without a file."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [
                {
                    str(key).strip().lower(): str(cell or "").strip()
                    for key, cell in row.items()
                    if key is not None
                }
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{path.name} needs the columns {needs}") from error


def _cell(row: Mapping[str, str], columns: tuple[str, ...]) -> str | None:
    return next((row[name] for name in columns if name in row), None)


def _table(
    path: Path, columns: tuple[str, ...], needs: str
) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Return one column by case, and the cases with several rows."""
    if not path.exists():
        return None, ()
    table: dict[str, str] = {}
    repeated: list[str] = []
    for row in _rows(path, needs):
        case, cell = _cell(row, _CASE_COLUMNS), _cell(row, columns)
        if case is None or cell is None:
            raise DatasetError(f"{path.name} needs the columns {needs}, with whole numbers")
        case_id = _without_suffix(case)
        if case_id in table:
            repeated.append(case_id)
        table[case_id] = cell
    return table, tuple(repeated)


@dataclass(frozen=True, slots=True)
class _Annotation:
    usual: Mapping[str, str]
    by_case: Mapping[str, Mapping[str, str]]

    @staticmethod
    def read(folder: Path, described: Mapping[str, Any]) -> _Annotation:
        stated = described.get("annotation", {})
        if not isinstance(stated, dict):
            raise DatasetError('"annotation" in its dataset.json is not an object')
        values, _ = values_of(described.get("labels"))
        named = {meaning for _, meaning in values}
        usual = {
            # Who has no value for a structure did not draw it.
            name: _state(stated.get(name, "annotated" if value in named else "unlabelled"))
            for value, name in NAMES.items()
        }
        by_case: dict[str, dict[str, str]] = {}
        for row in _rows(folder / "annotation.csv", "case, pancreas and lesion"):
            case = _cell(row, _CASE_COLUMNS)
            if case is None:
                raise DatasetError("annotation.csv needs the columns case, pancreas and lesion")
            states = {name: row[name] for name in STRUCTURES if row.get(name)}
            by_case[_without_suffix(case)] = {n: _state(text) for n, text in states.items()}
        return _Annotation(usual, by_case)

    def of(self, case_id: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the structures looked for in a case, and those of them that are absent."""
        states = {**self.usual, **self.by_case.get(case_id, {})}
        looked_for = frozenset(name for name, state in states.items() if state != "unlabelled")
        return looked_for, frozenset(n for n, state in states.items() if state == "absent")


def _state(value: object) -> str:
    state = str(value).lower()
    if state not in STATES:
        raise DatasetError(f"'{value}' is none of {', '.join(STATES)}")
    return state
