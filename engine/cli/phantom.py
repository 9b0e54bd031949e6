"""`islet phantom`: make CT-like abdomens with exact ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import Progress

from engine.cli.console import CANCELLED_CODE, notes
from engine.cli.output import check_output_folder, complete_or_nothing

_CASE_BYTES = 60_000_000  # ours: an uncompressed DICOM series of 1 mm slices

Format = Literal["dicom", "nifti", "dataset"]
Lesion = Literal["mixed", "healthy", "0", "1", "2"]


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
    workers: Annotated[
        int | None, typer.Option(help="Processes; without it, as many as the machine takes.", min=1)
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
    given: dict[str, Any] = {name: value for name, value in fixed.items() if value is not None}
    if lesion != "mixed":
        given["subtype"] = None if lesion == "healthy" else int(lesion)
    check_output_folder(out, needed_bytes=cases * _CASE_BYTES)
    # Not at the top: `islet --help` must not wait for numpy and its kin.
    from engine.data.phantom.write import draw_specs, write_phantoms
    from engine.data.side_by_side import usual_workers

    # Processes write them and this thread waits, so the bar runs here; Ctrl+C leaves nothing.
    try:
        with complete_or_nothing(out) as folder, Progress(console=notes) as bars:
            task = bars.add_task("Making phantoms", total=cases)
            write_phantoms(
                draw_specs(cases, seed, **given),
                form,
                folder,
                workers=workers or usual_workers(),
                on_progress=lambda _, done: bars.update(task, completed=round(done * cases)),
            )
    except KeyboardInterrupt:
        notes.print("Cancelled; nothing was written.")
        raise typer.Exit(CANCELLED_CODE) from None
    amount = "one phantom" if cases == 1 else f"{cases} phantoms"
    notes.print(f"Wrote {amount} to {out}.", soft_wrap=True)
