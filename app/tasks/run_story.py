"""A run as the panels show it: what its folder tells, or what the queue knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.archive.run_events import DryRun, StepTold
from engine.archive.runs import RunDetails
from engine.errors import IsletError
from engine.run import EpochRecord, RunState

LIVE_STATES = frozenset({RunState.RUNNING, RunState.PAUSED})

_LOST = (
    "The training was ended from outside, or the computer went off.",
    "Resume it: it goes on from its last checkpoint.",
)
_UNKNOWN_FAILURE = (
    "The training ended without a word about why.",
    "Look into its log, put right what it names, and resume it.",
)


@dataclass(frozen=True, slots=True)
class RunStory:
    """One run, whole at every moment.

    Args:
        run_id: Name of its folder.
        folder: Where everything of it lies.
        state: What it is doing.
        started: ISO 8601; empty before it began.
        system: Name of the system.
        title: Its title.
        facts: What it was asked to do, as (name, value) to be read.
        arguments: Options of `islet train` that it was queued with; empty once it has begun.
        message: Why it does not go on; empty where it does.
        remedy: What to do about it.
        stage: What is done beside epochs, e.g. "prepare"; empty while it steps.
        fraction: Of the stage, 0 to 1.
        remaining_s: Until the part that is fitted is done; None where it is not known.
        step: The last step told of.
        steps: Steps of the run, thinned.
        histories: Finished epochs by part; a localiser is fitted before the main system.
        best_epoch: Counted from 1; None before a validation.
        pictures: Sample predictions by epoch.
        alarms: What the trainer warns of.
        dry_run: What was predicted before the first epoch.
        log_tail: The end of its log.
        has_weights: Whether there are weights to register.
        is_broken: Whether its folder cannot be read, and can only be deleted.
    """

    run_id: str
    folder: Path
    state: RunState
    started: str = ""
    system: str = ""
    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    message: str = ""
    remedy: str = ""
    stage: str = ""
    fraction: float = 0.0
    remaining_s: float | None = None
    step: StepTold | None = None
    steps: tuple[StepTold, ...] = ()
    histories: Mapping[str, tuple[EpochRecord, ...]] = field(
        default_factory=lambda: dict[str, tuple[EpochRecord, ...]]()
    )
    best_epoch: int | None = None
    pictures: tuple[tuple[int, Path], ...] = ()
    alarms: tuple[str, ...] = ()
    dry_run: DryRun | None = None
    log_tail: str = ""
    has_weights: bool = False
    is_broken: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "histories", MappingProxyType(dict(self.histories)))
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    @property
    def part(self) -> str:
        """The part to look at: the one that is fitted, or that was fitted last."""
        if self.step is not None:
            return self.step.part
        return self.system if self.system in self.histories else next(iter(self.histories), "")

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """Finished epochs of `part`."""
        return self.histories.get(self.part, ())

    @property
    def is_live(self) -> bool:
        """Whether a process of its own is at work, or waits to go on."""
        return self.state in LIVE_STATES

    @property
    def is_over(self) -> bool:
        """Whether it has ended in any way, and does not wait to begin again."""
        return not self.is_live and self.state is not RunState.QUEUED

    @property
    def can_resume(self) -> bool:
        """Whether it may go on from where it is."""
        return not self.is_broken and self.state in (
            RunState.PAUSED, RunState.STOPPED, RunState.INTERRUPTED, RunState.FAILED
        )  # fmt: skip

    @property
    def can_finish(self) -> bool:
        """Whether it may end here: every part of it has weights."""
        return self.can_resume and self.is_over and self.part == self.system != ""

    @property
    def done(self) -> float:
        """Of the fitting of `part`, 0 to 1."""
        if self.state is RunState.FINISHED:
            return 1.0
        if self.step is None:
            return 0.0
        step = self.step
        epochs = step.epoch - 1 + step.step / max(step.steps, 1)
        return min(max(epochs / max(step.epochs, 1), len(self.epochs) / max(step.epochs, 1)), 1.0)


def story_of(details: RunDetails) -> RunStory:
    """Return what a run's folder tells."""
    run = details.run
    message, remedy = details.message, details.remedy
    if run.state is RunState.INTERRUPTED:
        message, remedy = _LOST
    elif run.state is RunState.FAILED and not message:
        message, remedy = _UNKNOWN_FAILURE
    return RunStory(
        run_id=run.run_id,
        folder=run.folder,
        state=run.state,
        started=run.started,
        system=run.plan.system.name,
        title=run.plan.system.title,
        facts=_facts_of(details),
        message=message,
        remedy=remedy,
        stage=details.stage,
        fraction=details.fraction,
        remaining_s=details.remaining_s,
        step=details.last_step,
        steps=details.steps,
        histories=details.histories,
        best_epoch=run.best_epoch,
        pictures=tuple(sorted(details.pictures.items())),
        alarms=details.alarms,
        dry_run=details.dry_run,
        log_tail=details.log_tail,
        has_weights=details.has_weights,
    )


def broken_story(folder: Path, error: IsletError) -> RunStory:
    """Return what there is to say of a folder that cannot be read as a run."""
    return RunStory(
        folder.name,
        folder,
        RunState.FAILED,
        message=error.message,
        remedy=error.remedy,
        is_broken=True,
    )


def size_text(size: str) -> str:
    """Return a size as a person would call it."""
    return {"full": "full size"}.get(size, size)


def fold_text(fold: int | None) -> str:
    """Return which cases validate."""
    return "all cases" if fold is None else f"fold {fold}"


def _facts_of(details: RunDetails) -> tuple[tuple[str, str], ...]:
    plan = details.run.plan
    patch = " × ".join(str(length) for length in plan.patch_shape)
    spacing = " × ".join(f"{length:g}" for length in plan.spacing_mm)
    parts = f" in {plan.accumulation} parts" if plan.accumulation > 1 else ""
    devices = f" × {plan.num_devices}" if plan.num_devices > 1 else ""
    return (
        ("System", plan.system.title),
        ("Size", size_text(plan.size)),
        ("Data set", str(details.data)),
        ("Validation", fold_text(plan.fold)),
        ("Epochs", f"{plan.system.training.epochs}"),
        ("Patch", f"{patch} voxels of {spacing} mm"),
        ("Batch", f"{plan.batch_size}{parts}"),
        ("Device", f"{plan.device}{devices}, {plan.precision}"),
        ("Augmentation", f"on the {plan.augment_on}"),
        ("Seed", f"{plan.seed}"),
        ("Folder", str(details.run.folder)),
    )
