"""What a weights file says of itself, read without loading a tensor."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

# A safetensors header is a few kilobytes; anything larger is not one.
_MAX_HEADER_BYTES = 50_000_000
_METADATA = "__metadata__"


def count_parameters(path: Path) -> int | None:
    """Return how many numbers the tensors of a weights file hold; None where it is no such file."""
    try:
        header, _ = _read_header(path)
        tensors = [entry for name, entry in header.items() if name != _METADATA]
        return sum(math.prod(entry["shape"]) for entry in tensors)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def copy_renamed(source: Path, target: Path, system: str) -> None:
    """Copy a weights file, and let the copy say that it belongs to `system`.

    The tensors are copied byte by byte: their offsets count from the end of the header.

    Raises:
        ValueError: If `source` is no weights file of Islet.
        OSError: If a file cannot be read or written.
    """
    header, start = _read_header(source)
    try:
        about = {**json.loads(header[_METADATA]["islet"]), "system": system}
    except (KeyError, TypeError) as error:
        raise ValueError("the weights do not say that they are Islet's") from error
    header[_METADATA] = {**header[_METADATA], "islet": json.dumps(about)}
    text = json.dumps(header, separators=(",", ":")).encode()
    # The format wants the tensors to start at a multiple of eight.
    text += b" " * (-len(text) % 8)
    with source.open("rb") as read, target.open("wb") as write:
        read.seek(start)
        write.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(read, write)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header, and where the tensors start; raises OSError or ValueError."""
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError("the file is too short")
        (size,) = struct.unpack("<Q", prefix)
        if size > _MAX_HEADER_BYTES:
            raise ValueError("the header is too long")
        header = json.loads(file.read(size))
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return header, 8 + size
