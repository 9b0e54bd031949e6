"""The number of parameters of every system and size, asked of the engine once and remembered.

Counting needs torch, which the window never loads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.archive.run_folder import replace_text
from engine.system import System

FILE_NAME = "parameters.json"

Counts = Mapping[tuple[str, str], int]
"""Parameters by (name of the system, size)."""


def counts_of(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """Return the counts that `islet systems --json` tells."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        counts[row["name"], "full"] = int(row["parameters"])
        for size, count in row.get("sizes", {}).items():
            counts[row["name"], size] = int(count)
    return counts


def remembered(folder: Path, systems: Iterable[System]) -> dict[tuple[str, str], int] | None:
    """Return the counts in `folder`; None where they are of other systems, or not there."""
    try:
        stored = json.loads((folder / FILE_NAME).read_bytes())
        if stored["of"] != _mark(systems):
            return None
        return {(name, size): int(count) for name, size, count in stored["counts"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(folder: Path, systems: Iterable[System], counts: Counts) -> None:
    """Keep `counts` in `folder`; without room for them they are counted again next time."""
    rows = [[name, size, count] for (name, size), count in counts.items()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / FILE_NAME, json.dumps({"of": _mark(systems), "counts": rows}))
    except OSError:
        return


def _mark(systems: Iterable[System]) -> str:
    text = "\n".join(repr(system) for system in systems)
    return hashlib.sha256(text.encode()).hexdigest()
