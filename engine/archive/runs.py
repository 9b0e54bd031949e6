"""Training runs, read from their folders: while they train, afterwards, and after a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import platformdirs

from engine.archive.run_events import DryRun, EventTail, StepTold, Story, event_of
from engine.archive.run_folder import (
    EVENTS_FILE,
    LIVE_STATES,
    LOG_FILE,
    PLAN_FILE,
    RUN_FILE,
    SYSTEM_FILE,
    WEIGHTS_FILE,
    RunFolderError,
    Wish,
    is_alive,
    read_run_file,
    write_wish,
)
from engine.archive.weights_file import count_parameters
from engine.errors import IsletError
from engine.registry import UnknownNameError
from engine.run import EpochRecord, RunState, TrainingRun
from engine.system_json import plan_from_json, system_from_json

_LOG_TAIL_BYTES = 20_000
_MARKS = (RUN_FILE, SYSTEM_FILE, PLAN_FILE, EVENTS_FILE)


@dataclass(frozen=True, slots=True)
class BrokenRun:
    """A folder that looks like a run's, and cannot be read as one.

    Args:
        run_id: Name of the folder.
        folder: Where it lies.
        error: Why not, and what to do.
    """

    run_id: str
    folder: Path
    error: IsletError


@dataclass(frozen=True, slots=True)
class RunDetails:
    """Everything a run's folder tells.

    Args:
        run: The run; its history is that of the main system.
        message: What happened, where it failed; else empty.
        remedy: What to do about it.
        data: The data set's folder.
        args: What the command line needs to resume it.
        stage: What it is doing beside epochs, e.g. "prepare"; empty while it steps.
        fraction: How far that stage is, 0 to 1.
        histories: Finished epochs by part, a localiser's among them.
        steps: Told steps, oldest first; a long run keeps every second, fourth, …
        remaining_s: Until the part that is being trained is done; None where not known.
        dry_run: What the trial step found; None before it.
        alarms: Sentences, oldest first, each once.
        pictures: Sample predictions by epoch.
        log_tail: End of the log.
        has_weights: Whether there are weights to register.
    """

    run: TrainingRun
    message: str
    remedy: str
    data: Path
    args: Mapping[str, Any]
    stage: str
    fraction: float
    histories: Mapping[str, tuple[EpochRecord, ...]]
    steps: tuple[StepTold, ...]
    remaining_s: float | None
    dry_run: DryRun | None
    alarms: tuple[str, ...]
    pictures: Mapping[int, Path]
    log_tail: str
    has_weights: bool

    @property
    def last_step(self) -> StepTold | None:
        """The step told last."""
        return self.steps[-1] if self.steps else None


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run in a table of several.

    Args:
        run_id: Name of its folder.
        system: Name of its system.
        size: Of the system.
        fold: Held back for validation; None where none was.
        state: What it is doing.
        num_epochs: Finished.
        best_epoch: Counted from 1; None before a validation.
        best_score: Of that epoch, see `score_of`.
        scores: Of that epoch, by name.
        losses: Of the last epoch, by task.
        elapsed_s: Wall time of training.
        num_parameters: Stored in its weights; None before there are any.
    """

    run_id: str
    system: str
    size: str
    fold: int | None
    state: RunState
    num_epochs: int
    best_epoch: int | None
    best_score: float | None
    scores: Mapping[str, float]
    losses: Mapping[str, float]
    elapsed_s: float
    num_parameters: int | None


def runs_folder() -> Path:
    """Return where runs lie that were given no other place."""
    return platformdirs.user_data_path("islet") / "runs"


def find_runs(folder: Path | None = None) -> tuple[TrainingRun | BrokenRun, ...]:
    """Return every run in `folder`, newest first; what cannot be read comes last.

    Args:
        folder: Holds the runs' folders; None is `runs_folder()`. It may be missing.
    """
    place = runs_folder() if folder is None else folder
    if not place.is_dir():
        return ()
    found = [_read_or_broken(path) for path in sorted(place.iterdir()) if _looks_like_run(path)]
    whole = [run for run in found if isinstance(run, TrainingRun)]
    broken = [run for run in found if isinstance(run, BrokenRun)]
    whole.sort(key=lambda run: datetime.fromisoformat(run.started), reverse=True)
    return (*whole, *broken)


def find_run_folder(name: str, folder: Path | None = None) -> Path:
    """Return the folder of the run called `name`, or at the path `name`.

    Raises:
        UnknownNameError: If there is neither.
    """
    place = runs_folder() if folder is None else folder
    for path in (place / name, Path(name)):
        if name and _looks_like_run(path):
            return path
    known = tuple(run.run_id for run in find_runs(place))
    raise UnknownNameError("training run", name, known)


def read_run(folder: Path) -> TrainingRun:
    """Return the run in `folder`.

    Raises:
        RunFolderError: If there is none, or it is damaged.
        DamagedSystemError: If its system or plan is.
    """
    return RunReader(folder, with_steps=False).read().run


def read_details(folder: Path) -> RunDetails:
    """Return everything the run in `folder` tells.

    Raises:
        RunFolderError: If there is none, or it is damaged.
        DamagedSystemError: If its system or plan is.
    """
    return RunReader(folder).read()


def request(folder: Path, wish: Wish) -> None:
    """Ask the process that trains in `folder` to pause, to stop with a checkpoint, or to go on.

    Raises:
        RunFolderError: If nothing is being trained there, or it cannot be asked.
    """
    values = read_run_file(folder)
    if RunState(values["state"]) not in LIVE_STATES or not is_alive(values):
        raise RunFolderError(
            "The run is not being trained at the moment.",
            remedy="Start it again with 'islet train --resume', or in the window.",
        )
    try:
        write_wish(folder, wish)
    except OSError as error:
        raise RunFolderError(
            "The run's folder cannot be written to.",
            remedy="Ask its owner for permission to write, or free some space on its disk.",
        ) from error


def delete_run(folder: Path) -> None:
    """Delete the run in `folder` with everything in it; systems registered from it stay.

    Raises:
        RunFolderError: If it is being trained, is no run, or cannot be deleted.
    """
    if folder.is_symlink() or not _looks_like_run(folder):
        raise RunFolderError(
            "There is no training run in this folder, so it is not deleted.",
            remedy="Name a run that 'islet runs' lists.",
        )
    if _is_trained_now(folder):
        raise RunFolderError(
            "The run is being trained and cannot be deleted.",
            remedy="Stop it first, with 'islet runs stop' or in the window.",
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RunFolderError(
            "The run could not be deleted completely.",
            remedy="Close what has its files open, check your permissions, and delete it again.",
        ) from error


def compare_runs(runs: Iterable[TrainingRun]) -> tuple[ComparedRun, ...]:
    """Return one row for each run, best score first; runs without a score come last."""
    rows = [_compared(run) for run in runs]
    return tuple(sorted(rows, key=lambda row: (row.best_score is None, -(row.best_score or 0.0))))


def score_of(record: EpochRecord) -> float | None:
    """Return the one figure epochs are compared by; higher is better, None where not validated.

    It is the mean Dice over structures, or the mean of all scores where there is no Dice.
    """
    dice = [value for name, value in record.scores.items() if name.startswith("dice")]
    figures = dice or list(record.scores.values())
    return sum(figures) / len(figures) if figures else None


class RunReader:
    """Reads one run again and again, each time only what is new.

    Args:
        folder: Of the run.
        with_steps: Whether single steps are read, which a long run has thousands of.
    """

    def __init__(self, folder: Path, *, with_steps: bool = True) -> None:
        self._folder = folder
        self._with_steps = with_steps
        self._tail = EventTail(folder)
        self._story = Story()

    def read(self) -> RunDetails:
        """Return what the folder tells by now.

        Raises:
            RunFolderError: If there is no run, or it is damaged.
            DamagedSystemError: If its system or plan is.
        """
        values = read_run_file(self._folder)
        system = system_from_json(_read_json(self._folder / SYSTEM_FILE))
        plan = plan_from_json(_read_json(self._folder / PLAN_FILE), system)
        for line in self._tail.lines():
            if self._with_steps or not line.startswith(b'{"event": "step"'):
                self._story.hear(event_of(line))
        story = self._story
        history = tuple(story.histories.get(system.name, ()))
        state = RunState(values["state"])
        is_lost = state in LIVE_STATES and not is_alive(values)
        run = TrainingRun(
            run_id=self._folder.absolute().name,
            plan=plan,
            folder=self._folder,
            started=values["started"],
            history=history,
            best_epoch=_best_epoch(history),
            state=RunState.INTERRUPTED if is_lost else state,
        )
        return RunDetails(
            run=run,
            message=str(values.get("message", "")),
            remedy=str(values.get("remedy", "")),
            data=Path(values["data"]),
            args=values["args"],
            stage=story.stage,
            fraction=story.fraction,
            histories={part: tuple(records) for part, records in story.histories.items()},
            steps=tuple(story.steps),
            remaining_s=story.remaining_s,
            dry_run=story.dry_run,
            alarms=tuple(story.alarms),
            pictures={
                epoch: self._folder / "pictures" / name for epoch, name in story.pictures.items()
            },
            log_tail=_tail_of(self._folder / LOG_FILE),
            has_weights=(self._folder / WEIGHTS_FILE).exists(),
        )


def _compared(run: TrainingRun) -> ComparedRun:
    last = run.history[-1] if run.history else None
    best = next((record for record in run.history if record.epoch == run.best_epoch), None)
    return ComparedRun(
        run_id=run.run_id,
        system=run.plan.system.name,
        size=run.plan.size,
        fold=run.plan.fold,
        state=run.state,
        num_epochs=len(run.history),
        best_epoch=run.best_epoch,
        best_score=None if best is None else score_of(best),
        scores={} if best is None else best.scores,
        losses={} if last is None else last.losses,
        elapsed_s=0.0 if last is None else last.elapsed_s,
        num_parameters=count_parameters(run.folder / WEIGHTS_FILE),
    )


def _best_epoch(history: tuple[EpochRecord, ...]) -> int | None:
    scored = [
        (score, record.epoch) for record in history if (score := score_of(record)) is not None
    ]
    return max(scored)[1] if scored else None


def _looks_like_run(path: Path) -> bool:
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def _is_trained_now(folder: Path) -> bool:
    try:
        values = read_run_file(folder)
    except RunFolderError:
        return False
    return RunState(values["state"]) in LIVE_STATES and is_alive(values)


def _read_or_broken(folder: Path) -> TrainingRun | BrokenRun:
    try:
        return read_run(folder)
    except IsletError as error:
        return BrokenRun(folder.name, folder, error)


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"The file {path.name} of the training run is missing or damaged.",
            remedy="Delete the run, or restore its folder from a copy.",
        ) from error


def _tail_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _LOG_TAIL_BYTES, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    # Where the log was cut, its first line is not whole.
    return text if size <= _LOG_TAIL_BYTES else text.partition("\n")[2]
