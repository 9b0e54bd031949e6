"""Start Islet: its window, or with `--engine` the process that computes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import IsletError

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.program import Program

log = logging.getLogger(__name__)

EXIT_ERROR = 2
_PICTURE_SIZE = (1600, 1000)


class NoDisplayError(IsletError):
    """There is nowhere to open a window."""

    def __init__(self) -> None:
        super().__init__(
            "There is no display to open a window on.",
            remedy="Start Islet in a desktop session, or use --screenshot to write a picture.",
        )


class SizeError(IsletError):
    """A size that is not WxH."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"The size '{text}' is not understood.",
            remedy="Give width and height in pixels, e.g. --size 1600x1000.",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run Islet.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0, or 2 after an error, which is told on stderr.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--engine" in arguments:
        # The engine's process never loads Qt, as the window's never loads torch.
        from engine.worker import main as serve_engine

        serve_engine()
    options = _parser().parse_args(arguments)
    try:
        return _open_window(options)
    except IsletError as error:
        _say(error)
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("islet view", description="View and analyse a pancreatic CT.")
    parser.add_argument("path", nargs="?", type=Path, help="a DICOM folder or an image file")
    parser.add_argument("--analyse", action="store_true", help="look for lesions at once")
    parser.add_argument("--system", default="", help="which system looks")
    parser.add_argument("--screenshot", type=Path, help="write the window to this PNG and leave")
    parser.add_argument("--size", default="", help="size of the window, WxH")
    return parser


def _open_window(options: argparse.Namespace) -> int:
    size = _size(options.size) if options.size else None
    _choose_platform(for_picture=options.screenshot is not None)
    # Qt is loaded here, after the engine's role is ruled out and the platform is chosen.
    import platformdirs

    from app.log_file import start_log
    from app.program import make_application

    start_log(platformdirs.user_log_path("islet"))
    app = make_application()
    if options.screenshot is not None:
        return _save_picture(app, options, size or _PICTURE_SIZE)
    return _show_window(app, options, size)


def _show_window(
    app: QApplication, options: argparse.Namespace, size: tuple[int, int] | None
) -> int:
    from app.program import Program

    program = Program()
    program.choose_system(options.system)
    program.place_window(size)
    program.catch_bugs()
    _leave_with(app, program)
    program.window.show()
    if program.accepts_research_use():
        program.open_at_start(options.path, analyse=options.analyse)
        return app.exec()
    program.window.close()
    return 0


def _save_picture(app: QApplication, options: argparse.Namespace, size: tuple[int, int]) -> int:
    from app.program import Program
    from engine.report.findings_table import print_findings

    errors: list[IsletError] = []
    program = Program(show_error=errors.append, asks=False)
    program.choose_system(options.system)
    program.window.resize(*size)
    program.catch_bugs()
    _leave_with(app, program)
    program.window.show()
    program.take_picture(
        options.screenshot, options.path, analyse=options.analyse, on_done=program.window.close
    )
    app.exec()
    for error in errors:
        _say(error)
    if program.session.prediction is not None:
        print_findings(program.session.prediction)
    return EXIT_ERROR if errors else 0


def _leave_with(app: QApplication, program: Program) -> None:
    """End the event loop when the window closes.

    Qt ends it with the last visible window, which a window that closes while it is still being
    shown never was; it was seen to wait for ever.
    """
    from PySide6.QtCore import QTimer

    program.window.closing.connect(lambda: QTimer.singleShot(0, app.exit))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise SizeError(text)
    return int(width), int(height)


def _choose_platform(*, for_picture: bool) -> None:
    """Draw off screen where there is no display, if a picture is all that is asked for."""
    if not sys.platform.startswith("linux") or "QT_QPA_PLATFORM" in os.environ:
        return
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if not for_picture:
        raise NoDisplayError
    os.environ["QT_QPA_PLATFORM"] = "offscreen"


def _say(error: IsletError) -> None:
    sys.stderr.write(f"{error.message}\n{error.remedy}\n")


if __name__ == "__main__":
    sys.exit(main())
