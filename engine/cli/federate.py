"""`islet federate`: sites train one model together."""

from __future__ import annotations

import typer

from engine.cli.federate_simulate import simulate

federate = typer.Typer(help="Let sites train one model together.", no_args_is_help=True)
federate.command("simulate")(simulate)
