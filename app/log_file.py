"""The log of the program: what happened, without anything about the patient."""

from __future__ import annotations

import logging
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class FramesOnlyFormatter(logging.Formatter):
    """Writes where an error happened and its kind, but not its words.

    The words of an error may name a file, and hospital files are named after patients.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a copy: another handler may have left an error's words in the record."""
        return super().format(logging.makeLogRecord(record.__dict__ | {"exc_text": None}))

    def formatException(self, ei: _ExceptionInfo) -> str:
        """Return the frames and the name of the exception's class."""
        kind, _, frames = ei
        return error_details(kind, frames) if kind is not None else ""


def error_details(kind: type[BaseException], frames: TracebackType | None) -> str:
    """Return what a developer needs to know of an error, free of patient data."""
    return "".join((*traceback.format_tb(frames), kind.__name__))


def start_log(folder: Path) -> None:
    """Write the log into `folder`, three files of half a megabyte at most.

    Where the folder cannot be written to, the program runs without a log.
    """
    root = logging.getLogger()
    # A terminal goes on saying as much as it did before the log wanted more.
    for other in root.handlers:
        other.setLevel(max(other.level, root.level))
    root.setLevel(logging.INFO)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            folder / "islet.log", maxBytes=500_000, backupCount=2, encoding="utf-8"
        )
    except OSError:
        return
    handler.setFormatter(FramesOnlyFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
