"""`islet phantom`: make CT-like abdomens with exact ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import track

from engine.cli.console import notes
from engine.cli.output import check_output_folder, complete_or_nothing

if TYPE_CHECKING:
    from engine.data.phantom.make import Phantom
    from engine.data.phantom.spec import PhantomSpec

_CASE_BYTES = 60_000_000  # ours: an uncompressed DICOM series of 1 mm slices

Format = Literal["dicom", "nifti", "dataset"]
Lesion = Literal["mixed", "healthy", "0", "1", "2"]
_MIXED: tuple[int | None, ...] = (0, 1, 2, None)


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the phantoms; new or empty.")],
    cases: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same voxels.", min=0)] = 0,
    form: Annotated[
        Format,
        typer.Option("--format", help="dataset is nnU-Net's raw layout with subtypes.csv."),
    ] = "nifti",
    lesion: Annotated[
        Lesion, typer.Option(help="0 hypodense, 1 hyperdense, 2 cystic; mixed takes turns.")
    ] = "mixed",
    phase: Annotated[
        Literal["arterial", "venous", "unenhanced"] | None, typer.Option(help="Contrast phase.")
    ] = None,
    thickness: Annotated[
        float | None, typer.Option(help="Slice thickness in mm.", min=1.0, max=5.0)
    ] = None,
    pixel: Annotated[
        float | None, typer.Option(help="Distance of rows and columns in mm.", min=0.3, max=3.0)
    ] = None,
    matrix: Annotated[
        int | None, typer.Option(help="Number of rows and of columns.", min=64, max=1024)
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Noise in HU.", min=0.0)] = None,
    kernel: Annotated[
        Literal["soft", "standard", "sharp"] | None, typer.Option(help="Reconstruction kernel.")
    ] = None,
    site: Annotated[
        Literal["north", "south", "west"] | None, typer.Option(help="Habits of a scanner.")
    ] = None,
) -> None:
    """Make CT-like abdomens with exact ground truth; what is not given is drawn from the seed."""
    fixed = {
        "phase": phase,
        "slice_thickness_mm": thickness,
        "pixel_mm": pixel,
        "matrix": matrix,
        "noise_hu": noise,
        "kernel": kernel,
        "site": site,
    }
    given = {name: value for name, value in fixed.items() if value is not None}
    check_output_folder(out, needed_bytes=cases * _CASE_BYTES)
    specs = tuple(_specs(cases, seed, lesion, given))
    with complete_or_nothing(out) as folder:
        _write(_made(specs), form, folder)
    amount = "one phantom" if cases == 1 else f"{cases} phantoms"
    notes.print(f"Wrote {amount} to {out}.", soft_wrap=True)


def _specs(
    cases: int, seed: int, lesion: Lesion, fixed: dict[str, object]
) -> Iterator[PhantomSpec]:
    from engine.data.phantom.spec import sample_spec

    for number in range(cases):
        subtype = _MIXED[number % len(_MIXED)]
        if lesion != "mixed":
            subtype = None if lesion == "healthy" else int(lesion)
        # ours: seeds of one set never meet those of another below 100,000 cases
        yield sample_spec(seed * 100_000 + number, subtype=subtype, **fixed)


def _made(specs: tuple[PhantomSpec, ...]) -> Iterator[Phantom]:
    from engine.data.phantom.make import make_phantom

    for spec in track(specs, "Making phantoms", console=notes):
        yield make_phantom(spec)


def _write(phantoms: Iterator[Phantom], form: Format, folder: Path) -> None:
    if form == "dataset":
        from engine.data.dataset_writer import write_dataset

        write_dataset((made.case for made in phantoms), folder)
        return
    for made in phantoms:
        place = folder / made.case.case_id
        place.mkdir()
        _write_case(made, form, place)


def _write_case(made: Phantom, form: Format, place: Path) -> None:
    from engine.data.images import write_labels, write_volume

    if form == "dicom":
        from engine.data.dicom_writer import write_dicom

        write_dicom(made.case, place / "series")
    else:
        write_volume(made.case.volume, place / "ct.nii.gz")
    if made.case.labels is not None:
        write_labels(made.case.labels, place / "labels.nii.gz")
    write_labels(made.all_labels, place / "structures.nii.gz")
    text = json.dumps(asdict(made.spec), indent=2)
    (place / "phantom.json").write_text(text + "\n", encoding="utf-8")
