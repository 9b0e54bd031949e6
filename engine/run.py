"""A training: what it was asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
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
        batch_size: Patches per optimiser step, over all devices and accumulated parts.
        precision: "fp32", "bf16" or "fp16".
        seed: Of every random choice.
        fold: Validation fold, counted from 0; None trains on every case and validates on none.
        size: Which size of the system, e.g. "small".
        device: "cpu" or "cuda:N" of the first process.
        num_devices: Processes that share every batch.
        accumulation: Parts a batch is computed in, one after the other.
        augment_on: "device" changes patches where the network trains, "cpu" in loading threads.
    """

    system: System
    dataset: str
    spacing_mm: tuple[float, float, float]
    patch_shape: tuple[int, int, int]
    batch_size: int
    precision: str
    seed: int
    fold: int | None = None
    size: str = "full"
    device: str = "cpu"
    num_devices: int = 1
    accumulation: int = 1
    augment_on: str = "cpu"


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch gave.

    Args:
        epoch: Counted from 1.
        losses: Mean training loss by task.
        scores: Validation figures by name, e.g. "dice pancreas"; empty where not validated.
        elapsed_s: Wall time of training so far, interruptions left out.
        weights: Task weights of the balancer at the end of the epoch.
        learning_rate: Of the last step.
        samples_per_s: Patches trained per second.
        memory_bytes: Largest memory of the process, or of the device where it trains on one.
    """

    epoch: int
    losses: Mapping[str, float]
    scores: Mapping[str, float]
    elapsed_s: float
    weights: Mapping[str, float] = field(default_factory=lambda: dict[str, float]())
    learning_rate: float = 0.0
    samples_per_s: float = 0.0
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        object.__setattr__(self, "losses", MappingProxyType(dict(self.losses)))
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))


class RunState(StrEnum):
    """What a training is doing."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One training, as its folder tells it.

    Args:
        run_id: Name of its folder.
        plan: What is trained, and how.
        folder: Where everything of it lies.
        started: When, ISO 8601 with the offset from UTC.
        history: Finished epochs, in order.
        best_epoch: Counted from 1; None before the first validation.
        state: What it is doing; "interrupted" where its process is gone without a word.
    """

    run_id: str
    plan: Plan
    folder: Path
    started: str
    history: tuple[EpochRecord, ...]
    best_epoch: int | None
    state: RunState
