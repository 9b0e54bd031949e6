"""`islet benchmark read`: a DICOM series, with Islet and with SimpleITK."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from engine.cli.benchmarks.machine import machine
from engine.cli.console import notes, results
from engine.errors import IsletError

_NOT_DICOM = "This benchmark reads a DICOM folder."


def read(
    path: Annotated[Path, typer.Argument(help="Folder with one DICOM series.")],
    runs: Annotated[int, typer.Option(help="Repetitions; the median counts.", min=1)] = 5,
) -> None:
    """Read a DICOM series with Islet and with SimpleITK, in turn."""
    from engine.data.dicom import read_volume
    from engine.data.dicom_series import find_series

    series = next((found for found in find_series(path) if found.kind == "ct"), None)
    if series is None:
        raise IsletError(_NOT_DICOM, remedy="Name a folder that holds a CT series.")
    pairs = _in_turn(lambda: read_volume(series), lambda: _read_with_simpleitk(series.files), runs)
    _say(f"Reading {series.num_slices} slices", [("whole volume", *pairs)], peer="SimpleITK")


def _in_turn(
    ours: Callable[[], object], peers: Callable[[], object], runs: int
) -> tuple[list[float], list[float]]:
    """Time two pieces of work alternately, after one run of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for work, kept in ((ours, times[0]), (peers, times[1])):
            started = time.perf_counter()
            work()
            if run:
                kept.append(time.perf_counter() - started)
        notes.print(f"run {run} of {runs}", style="dim")
    return times


def _say(title: str, rows: list[tuple[str, list[float], list[float]]], *, peer: str) -> None:
    table = Table(title=title)
    for column in ("what", "Islet s", f"{peer} s", "Islet / peer"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, ours, peers in rows:
        ratio = median(a / b for a, b in zip(ours, peers, strict=True))
        table.add_row(what, f"{median(ours):.3f}", f"{median(peers):.3f}", f"{ratio:.2f}")
    results.print(table)
    results.print(machine())


def _read_with_simpleitk(files: tuple[Path, ...]) -> object:
    import SimpleITK as sitk

    folder = str(files[0].parent)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return sitk.GetArrayFromImage(reader.Execute())
