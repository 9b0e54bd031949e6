"""What the picker says about a system, read without loading any network."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from engine.system import System

_RESOURCES = Path(__file__).resolve().parents[2] / "resources" / "systems"
# A safetensors header is a few kilobytes; anything larger is not one.
_MAX_HEADER_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The weights of a system.

    Args:
        has_weights: Whether it can analyse a case.
        num_parameters: Stored in its weights; None without weights.
    """

    has_weights: bool
    num_parameters: int | None = None


def facts_of(system: System, folder: Path = _RESOURCES) -> SystemFacts:
    """Count the parameters that the weights file of `system` declares in its header."""
    path = folder / system.name / "weights.safetensors"
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, _MAX_HEADER_BYTES)))
    except (OSError, struct.error, ValueError):
        # Missing or broken weights: the system can be looked at, not used.
        return SystemFacts(has_weights=False)
    tensors = (entry for name, entry in header.items() if name != "__metadata__")
    count = sum(math.prod(entry["shape"]) for entry in tensors)
    return SystemFacts(has_weights=True, num_parameters=count)


def heads_text(system: System) -> str:
    """Return what the system predicts, in words."""
    words = [head.name.replace("_", " ") for head in system.heads]
    if system.subtypes:
        words.append(f"{len(system.subtypes)} subtypes")
    return ", ".join(words)


def parameters_text(facts: SystemFacts) -> str:
    """Return the size of the network, or that there are no weights."""
    if facts.num_parameters is None:
        return "No weights on this computer"
    if facts.num_parameters < 1_000_000:
        return f"{facts.num_parameters / 1e3:.0f} thousand parameters"
    return f"{facts.num_parameters / 1e6:.1f} million parameters"
