"""Make many phantoms and write them as DICOM series, NIfTI files or a data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.data.dataset_writer import Row, begin_dataset, end_dataset, write_dataset_case
from engine.data.dicom_writer import write_dicom
from engine.data.images import write_labels, write_volume
from engine.data.phantom.make import Phantom, make_phantom
from engine.data.phantom.spec import SUBTYPES, PhantomSpec, sample_spec
from engine.data.phantom.truth import truth_of
from engine.data.side_by_side import side_by_side
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress

Form = Literal["dicom", "nifti", "dataset"]

_TURNS: tuple[int | None, ...] = (*SUBTYPES, None)
_SEEDS_PER_SET = 100_000


@dataclass(frozen=True, slots=True)
class _Work:
    """One phantom to make and write, as a process is told of it."""

    number: int
    spec: PhantomSpec
    form: Form
    folder: Path


def draw_specs(num_cases: int, seed: int, **fixed: Any) -> tuple[PhantomSpec, ...]:
    """Draw specs of a mixed set: the three subtypes and a healthy case take turns.

    Args:
        num_cases: How many.
        seed: Sets of different seeds share no phantom, below 100,000 cases each.
        fixed: Fields of `PhantomSpec` to hold rather than draw.
    """
    return tuple(
        sample_spec(
            seed * _SEEDS_PER_SET + number, **{"subtype": _TURNS[number % len(_TURNS)], **fixed}
        )
        for number in range(num_cases)
    )


def write_phantoms(
    specs: Sequence[PhantomSpec],
    form: Form,
    folder: Path,
    *,
    workers: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Make phantoms and write them; the same specs give the same files, by any workers.

    Args:
        specs: What each looks like.
        form: "dicom" and "nifti" write one folder for each case, with labels.nii.gz,
            structures.nii.gz and phantom.json; "dataset" is nnU-Net's raw layout.
        folder: Made where it does not exist.
        workers: Processes; 1 makes them in this one.
        on_progress: Told ("phantoms", fraction of them made); to cancel, it raises.

    Raises:
        IsletError: If the folder holds a data set already, or cannot be written, or a worker
            process was killed.
    """
    if form == "dataset":
        begin_dataset(folder)
    works = [_Work(number, spec, form, folder) for number, spec in enumerate(specs)]
    rows: dict[int, Row] = {}
    on_progress("phantoms", 0.0)
    try:
        with closing(side_by_side(_write_one, works, workers)) as written:
            for number, row in written:
                rows[number] = row
                on_progress("phantoms", len(rows) / len(works))
    except BrokenProcessPool as error:
        raise IsletError(
            "A process that made phantoms was killed, perhaps because the memory was full.",
            remedy="Close other programs, or make fewer rows and columns, and try again.",
        ) from error
    if form == "dataset":
        end_dataset([rows[number] for number in range(len(works))], folder)


def write_phantom(phantom: Phantom, form: Literal["dicom", "nifti"], folder: Path) -> None:
    """Write one phantom, its labels and its truth into a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "dicom":
        write_dicom(phantom.case, folder / "series")
    else:
        write_volume(phantom.case.volume, folder / "ct.nii.gz")
    if phantom.case.labels is not None:
        write_labels(phantom.case.labels, folder / "labels.nii.gz")
    write_labels(phantom.all_labels, folder / "structures.nii.gz")
    text = json.dumps(truth_of(phantom), indent=2) + "\n"
    (folder / "phantom.json").write_text(text, encoding="utf-8")


def _write_one(work: _Work) -> tuple[int, Row]:
    phantom = make_phantom(work.spec)
    case = phantom.case
    if work.form == "dataset":
        return work.number, write_dataset_case(case, work.folder)
    write_phantom(phantom, work.form, work.folder / case.case_id)
    return work.number, Row(case.case_id, case.subtype)
