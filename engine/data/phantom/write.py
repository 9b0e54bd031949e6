"""Make many phantoms and write them as DICOM series, NIfTI files or a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from engine.data.dataset_writer import write_dataset
from engine.data.dicom_writer import write_dicom
from engine.data.images import write_labels, write_volume
from engine.data.phantom.make import Phantom, make_phantom
from engine.data.phantom.spec import SUBTYPES, PhantomSpec, sample_spec
from engine.data.phantom.truth import truth_of
from engine.progress import OnProgress, ignore_progress

Form = Literal["dicom", "nifti", "dataset"]

_TURNS: tuple[int | None, ...] = (*SUBTYPES, None)
_SEEDS_PER_SET = 100_000


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
    num_cases: int,
    seed: int,
    form: Form,
    folder: Path,
    on_progress: OnProgress = ignore_progress,
    **fixed: Any,
) -> None:
    """Make a mixed set of phantoms and write it.

    Args:
        num_cases: How many.
        seed: The same seed gives the same files.
        form: "dicom" and "nifti" write one folder for each case, with labels.nii.gz,
            structures.nii.gz and phantom.json; "dataset" is nnU-Net's raw layout.
        folder: Made where it does not exist.
        on_progress: Told the fraction of phantoms made.
        fixed: Fields of `PhantomSpec` to hold rather than draw.

    Raises:
        IsletError: If the folder holds cases of the same names, or cannot be written.
    """
    phantoms = _made(draw_specs(num_cases, seed, **fixed), on_progress)
    if form == "dataset":
        write_dataset((phantom.case for phantom in phantoms), folder)
        return
    for phantom in phantoms:
        write_phantom(phantom, form, folder / phantom.case.case_id)


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


def _made(specs: tuple[PhantomSpec, ...], on_progress: OnProgress) -> Iterator[Phantom]:
    for number, spec in enumerate(specs):
        yield make_phantom(spec)
        on_progress("phantoms", (number + 1) / len(specs))
