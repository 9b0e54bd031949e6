"""A results folder that is either complete or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from engine.errors import IsletError


class UnusableFolderError(IsletError):
    """A folder that results cannot be written to."""


def check_output_folder(folder: Path, *, needed_bytes: int) -> None:
    """Refuse a folder that could not take the results, before any work is done.

    Args:
        folder: Where results shall be; it may not exist yet.
        needed_bytes: How much will be written at most.

    Raises:
        UnusableFolderError: If it holds files, is a file, is not writable or its disk is full.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise UnusableFolderError(
            f"The folder {folder} is not empty.",
            remedy="Name a new folder with --out, or empty this one.",
        )
    if folder.exists() and not folder.is_dir():
        raise UnusableFolderError(
            f"{folder} is a file, not a folder.", remedy="Name a folder with --out."
        )
    _check_place(_existing_ancestor(folder), needed_bytes)


@contextmanager
def complete_or_nothing(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to write to; it becomes `folder` when the block ends well.

    Raises:
        UnusableFolderError: If the disk fills up, or `folder` cannot be written.
    """
    staging = folder.parent / f".{folder.name}.{os.getpid()}.partial"
    try:
        staging.mkdir(parents=True)
        yield staging
        if folder.exists():
            # Renaming onto an empty folder works on POSIX only.
            folder.rmdir()
        staging.rename(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _existing_ancestor(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _check_place(place: Path, needed_bytes: int) -> None:
    try:
        # Trying is the only sure way: permissions say nothing about a read-only disk.
        Path(mkdtemp(dir=place)).rmdir()
    except OSError as error:
        raise _unusable(place, error) from error
    if shutil.disk_usage(place).free < needed_bytes:
        raise _full(place, needed_bytes)


def _unusable(folder: Path, error: OSError) -> IsletError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(folder, 0)
    return _not_writable(folder)


def _not_writable(place: Path) -> UnusableFolderError:
    return UnusableFolderError(
        f"The folder {place} cannot be written to.",
        remedy="Name another folder with --out, or ask its owner for permission to write.",
    )


def _full(place: Path, needed_bytes: int) -> UnusableFolderError:
    amount = f"; {needed_bytes / 1e6:.0f} MB are needed" if needed_bytes else ""
    return UnusableFolderError(
        f"The disk of {place} is full{amount}.",
        remedy="Free some space, or name a folder on another disk with --out.",
    )
