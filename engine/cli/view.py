"""`islet view`: open the window, or draw it into a picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import IsletError


class WindowMissingError(IsletError):
    """The window is not installed beside the engine."""

    def __init__(self) -> None:
        super().__init__(
            "The window of Islet is not installed here.",
            remedy="Run `make setup` in a complete copy of the repository.",
        )


def view(
    path: Annotated[
        Path | None, typer.Argument(help="A DICOM folder or a NIfTI, NRRD or MHA file.")
    ] = None,
    analyse: Annotated[
        bool, typer.Option("--analyse", help="Look for lesions as soon as it is open.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="Which system looks; else the one chosen last.")
    ] = None,
    screenshot: Annotated[
        Path | None, typer.Option(help="Write the window to this PNG and leave.")
    ] = None,
    size: Annotated[str, typer.Option(help="Size of the picture, WxH.")] = "1600x1000",
) -> None:
    """Open the viewer."""
    if importlib.util.find_spec("app.__main__") is None:
        raise WindowMissingError
    # The window is loaded here, so that every other verb works without Qt.
    from app.__main__ import main as open_window

    raise typer.Exit(
        open_window(_arguments(path, analyse=analyse, system=system, picture=screenshot, size=size))
    )


def _arguments(
    path: Path | None, *, analyse: bool, system: str | None, picture: Path | None, size: str
) -> list[str]:
    arguments = [] if path is None else [str(path)]
    if analyse:
        arguments.append("--analyse")
    if system is not None:
        arguments += ["--system", system]
    if picture is not None:
        arguments += ["--screenshot", str(picture), "--size", size]
    return arguments
