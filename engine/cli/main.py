"""`islet`: every verb, and how an error leaves the program."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from engine.cli.benchmark import benchmark
from engine.cli.check_data import check
from engine.cli.compare import compare
from engine.cli.console import CANCELLED_CODE, ERROR_CODE, say_error
from engine.cli.crossvalidate import crossvalidate
from engine.cli.evaluate import evaluate
from engine.cli.federate import federate
from engine.cli.phantom import phantom
from engine.cli.predict import predict
from engine.cli.prepare import prepare
from engine.cli.register import register, unregister
from engine.cli.runs import runs
from engine.cli.systems import systems
from engine.cli.train import train
from engine.cli.view import view
from engine.errors import CancelledError, IsletError

app = typer.Typer(
    name="islet",
    help="View pancreatic CT and look for lesions. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel="See")(view)
app.command(rich_help_panel="Analyse")(predict)
app.command(rich_help_panel="Analyse")(systems)
app.command(rich_help_panel="Make data")(phantom)
app.command(rich_help_panel="Train")(check)
app.command(rich_help_panel="Train")(prepare)
app.command(rich_help_panel="Train")(train)
app.command(rich_help_panel="Train")(evaluate)
app.command(rich_help_panel="Train")(crossvalidate)
app.command(rich_help_panel="Train")(compare)
app.add_typer(runs, name="runs", rich_help_panel="Train")
app.command(rich_help_panel="Train")(register)
app.command(rich_help_panel="Train")(unregister)
app.add_typer(federate, name="federate", rich_help_panel="Train")
app.add_typer(benchmark, name="benchmark", rich_help_panel="Measure")


def main(argv: list[str] | None = None) -> int:
    """Run `islet` and return its exit code.

    Args:
        argv: The arguments after the program's name; those of the process where None.

    Returns:
        0 when it worked, 2 when the user has something to put right, 130 when cancelled.
    """
    try:
        app(args=argv, prog_name="islet")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    except CancelledError as cancelled:
        say_error(cancelled)
        return CANCELLED_CODE
    except IsletError as error:
        say_error(error)
        return ERROR_CODE
    return 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"islet {version('islet')}")
        raise typer.Exit


@app.callback()
def _islet(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", callback=_show_version, is_eager=True),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens.")] = False,
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
