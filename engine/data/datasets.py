"""Training data sets in nnU-Net's raw layout, with a subtype for every case."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.case import Case
from engine.data.images import read_image, read_labels
from engine.errors import IsletError

_NAMES = {1: "pancreas", 2: "lesion"}
_HOW_TO = "Check the folder; 'islet phantom --format dataset' makes an example."


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
        labels: Its reference labels: 1 pancreas, 2 lesion.
        subtype: Lesion subtype; None for a healthy or unknown case.
    """

    case_id: str
    image: Path
    labels: Path
    subtype: int | None

    def read(self) -> Case:
        """Read the case's image and reference labels."""
        return Case(
            case_id=self.case_id,
            volume=read_image(self.image),
            labels=read_labels(self.labels, _NAMES),
            annotated=frozenset(_NAMES.values()),
            subtype=self.subtype,
        )


def find_entries(folder: Path) -> tuple[Entry, ...]:
    """Return the training cases of a data set, in the order of their names.

    Reads `dataset.json` and, where it is there, `subtypes.csv` (columns case and subtype; an
    empty subtype is a healthy case).

    Raises:
        DatasetError: If the folder has another layout, or a label map lacks its image.
    """
    ending = str(_described(folder).get("file_ending", ".nii.gz"))
    subtypes = _subtypes(folder / "subtypes.csv")
    labels = sorted((folder / "labelsTr").glob(f"*{ending}"))
    if not labels:
        raise DatasetError(f"labelsTr holds no file that ends in {ending}")
    entries: list[Entry] = []
    for path in labels:
        case_id = path.name.removesuffix(ending)
        image = folder / "imagesTr" / f"{case_id}_0000{ending}"
        if not image.exists():
            raise DatasetError(f"the label map of case {case_id} has no image in imagesTr")
        entries.append(Entry(case_id, image, path, subtypes.get(case_id)))
    return tuple(entries)


def _described(folder: Path) -> dict[str, Any]:
    try:
        described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError("it has no dataset.json") from None
    except (OSError, ValueError) as error:
        raise DatasetError("its dataset.json cannot be read") from error
    if not isinstance(described, dict):
        raise DatasetError("its dataset.json is not an object")
    return described


def _subtypes(path: Path) -> dict[str, int | None]:
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {row["case"]: int(row["subtype"]) if row["subtype"] else None for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            "subtypes.csv needs the columns case and subtype, with whole numbers"
        ) from error
