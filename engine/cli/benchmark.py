"""`islet benchmark`: how long things take on this computer, beside a peer where there is one."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track
from rich.table import Table

from engine.catalogue import SYSTEMS
from engine.cli.console import notes, results
from engine.errors import IsletError

if TYPE_CHECKING:
    from engine.case import Case
    from engine.finding import Prediction

benchmark = typer.Typer(help="Measure this computer.", no_args_is_help=True)

_NOT_DICOM = "This benchmark reads a DICOM folder."


@benchmark.command("read")
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


@benchmark.command("predict")
def predict(
    path: Annotated[Path, typer.Argument(help="DICOM folder or image file.")],
    system: Annotated[str, typer.Option(help="Name of the system.")] = "starter",
    runs: Annotated[int, typer.Option(help="Repetitions; the median counts.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
) -> None:
    """Analyse one case again and again, stage by stage; the first, cold run is a row of its own."""
    from engine.data.source import best_source, find_sources, read_case
    from engine.inference.model import load_model
    from engine.inference.predict import predict as analyse

    case = read_case(best_source(find_sources(path)))
    load_s = time.perf_counter()
    model = load_model(SYSTEMS.get(system), device)
    load_s = time.perf_counter() - load_s
    predictions: list[Prediction] = [analyse(case, model) for _ in range(runs + 1)]
    _say_stages(case, load_s, predictions)


@benchmark.command("threshold")
def threshold(
    data: Annotated[Path, typer.Option(help="Data set: nnU-Net raw layout with subtypes.csv.")],
) -> None:
    """Say how far a HU threshold alone comes on a data set: its lesions must be harder."""
    from engine.data.datasets import find_entries
    from engine.evaluation.threshold import best_threshold_dice, density_macro_f1, profile

    entries = [entry for entry in find_entries(data) if entry.subtype is not None]
    profiles = [profile(entry.read()) for entry in track(entries, "Counting", console=notes)]
    dice, (low, high) = best_threshold_dice(profiles)
    results.print(
        f"{len(profiles)} lesion cases. Best HU interval within 10 mm of the true pancreas, "
        f"{low:.0f} to {high:.0f}: mean lesion Dice {dice:.3f}. Subtype from the true lesion's "
        f"mean HU and size, nearest neighbours: macro-F1 {density_macro_f1(profiles):.3f}.",
        highlight=False,
    )


def _say_stages(case: Case, load_s: float, predictions: list[Prediction]) -> None:
    cold, *warm = predictions
    table = Table(title=f"{cold.system} on {case.volume.geometry.shape}, {cold.device}")
    for column in ("stage", "first run s", f"median of {len(warm)} s"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    table.add_row("load weights", f"{load_s:.2f}", "–")
    for stage, seconds in cold.seconds.items():
        usual = median(run.seconds.get(stage, 0.0) for run in warm)
        table.add_row(stage, f"{seconds:.2f}", f"{usual:.2f}")
    total = median(sum(run.seconds.values()) for run in warm)
    table.add_row("all stages", f"{sum(cold.seconds.values()):.2f}", f"{total:.2f}")
    results.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.print(f"Route {cold.route}, {cold.precision}, peak memory {peak:.0f} MB. {_machine()}")


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
    results.print(_machine())


def _read_with_simpleitk(files: tuple[Path, ...]) -> object:
    import SimpleITK as sitk

    folder = str(files[0].parent)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    return sitk.GetArrayFromImage(reader.Execute())


def _machine() -> str:
    return f"{os.cpu_count()} CPUs, {platform.system()}, Python {sys.version.split()[0]}."
