"""Everything a training needs to go on, in one file that is whole or absent."""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from engine.errors import IsletError

_FORMAT = "islet-checkpoint-1"


class CheckpointError(IsletError):
    """A checkpoint that cannot be read."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"The checkpoint of '{name}' {what}.",
            remedy="Start a new run; the finished weights of this one, if any, are untouched.",
        )


class FullDiskError(IsletError):
    """The disk of a run filled up."""

    def __init__(self) -> None:
        super().__init__(
            "The disk is full: the last checkpoint could not be written. The one before is whole.",
            remedy="Free some space, then resume the run.",
        )


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write `content`; the former checkpoint stays until the new one is whole.

    Args:
        content: Tensors, numbers, texts and containers of them.
        path: The file.

    Raises:
        FullDiskError: If there is no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save({"format": _FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        # torch wraps what the system said when its own writer fails.
        if isinstance(error, RuntimeError) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullDiskError from error
        raise


def load_checkpoint(path: Path, name: str) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; never runs anything that is in the file.

    Args:
        path: The file.
        name: Of the system, for messages.

    Raises:
        CheckpointError: If the file is damaged or something else.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(name, "is damaged") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(name, "is of another program or version")
    return content
