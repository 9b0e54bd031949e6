"""`islet benchmark predict`: one case analysed again and again, stage by stage."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from engine.catalogue import SYSTEMS
from engine.cli.benchmarks.machine import machine
from engine.cli.console import results

if TYPE_CHECKING:
    from engine.case import Case
    from engine.finding import Prediction


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
    results.print(f"Route {cold.route}, {cold.precision}, peak memory {peak:.0f} MB. {machine()}")
