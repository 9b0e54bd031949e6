"""`islet benchmark`: how long things take on this computer, beside a peer where there is one."""

from __future__ import annotations

import typer

from engine.cli.benchmarks.analysis import predict
from engine.cli.benchmarks.density import threshold
from engine.cli.benchmarks.federation import federation
from engine.cli.benchmarks.multitask import multitask
from engine.cli.benchmarks.reading import read
from engine.cli.benchmarks.training import training

benchmark = typer.Typer(help="Measure this computer.", no_args_is_help=True)
benchmark.command("read")(read)
benchmark.command("predict")(predict)
benchmark.command("threshold")(threshold)
benchmark.command("training")(training)
benchmark.command("multitask")(multitask)
benchmark.command("federation")(federation)
