"""A training: what it was asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.system import System


@dataclass(frozen=True, slots=True)
class Plan:
    """A system resolved against a data set and a machine.

    Args:
        system: What is trained.
        dataset: Name of the data set.
        spacing_mm: (slice, row, column) of the training grid, in mm.
        patch_shape: (slices, rows, columns), in voxels.
        batch_size: Patches per step.
        precision: "fp32", "bf16" or "fp16".
        seed: Of every random choice.
    """

    system: System
    dataset: str
    spacing_mm: tuple[float, float, float]
    patch_shape: tuple[int, int, int]
    batch_size: int
    precision: str
    seed: int


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch gave.

    Args:
        epoch: Counted from 1.
        losses: Mean training loss by task.
        scores: Validation figures by name.
        elapsed_s: Wall time since the run started.
    """

    epoch: int
    losses: Mapping[str, float]
    scores: Mapping[str, float]
    elapsed_s: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", MappingProxyType(dict(self.losses)))
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))
