"""What `islet evaluate` is asked about: a run or a system, and the cases to ask it about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from engine.errors import IsletError

if TYPE_CHECKING:
    from engine.archive.runs import RunDetails
    from engine.data.datasets import Entry
    from engine.data.splits import Fold
    from engine.system import System

Split = Literal["validation", "all"]
NUM_FOLDS = 5


class EvaluationError(IsletError):
    """An evaluation that cannot be made as it was asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is evaluated.

    Args:
        system: The system, at the size it was trained at.
        weights: Its weights file; None takes the installed one.
        run: The run it comes from, where it comes from one.
    """

    system: System
    weights: Path | None
    run: RunDetails | None


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases that are evaluated.

    Args:
        entries: The cases.
        remarks: Finished sentences that belong beside every figure.
    """

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...]


def find_target(name: str, weights: Path | None) -> Target:
    """Return the run in the folder `name`, or the system of that name.

    Raises:
        EvaluationError: If the run has no weights yet.
        IsletError: If there is neither, or the run is damaged.
    """
    from engine.archive.registered import find_system
    from engine.archive.run_folder import RUN_FILE, WEIGHTS_FILE
    from engine.archive.runs import read_details

    folder = Path(name)
    if not (folder / RUN_FILE).is_file():
        return Target(find_system(name), weights, None)
    run = read_details(folder)
    path = weights or folder / WEIGHTS_FILE
    if not path.is_file():
        raise EvaluationError(
            "The run has no weights yet.",
            remedy="Let it finish, or stop it after an epoch, and evaluate it then.",
        )
    return Target(run.run.plan.system, path, run)


def choose_cases(
    target: Target,
    entries: Sequence[Entry],
    data: Path,
    *,
    fold: int | None,
    split: Split | None,
) -> Cases:
    """Return the cases to evaluate: never unnoticed those that a run was trained on.

    Args:
        target: What is evaluated.
        entries: Of the data set.
        data: Its folder.
        fold: Whose held-back cases are meant; None takes the run's own fold.
        split: "validation" or "all"; None takes the held-back cases of a run on its own data
            set, or of the fold that is named, else all.

    Raises:
        EvaluationError: If the fold is not the run's, or there is none.
    """
    trained = _trained_on(target.run, entries, data)
    if target.run is not None and trained is not None:
        return _of_own_data(target.run, entries, trained, fold=fold, split=split)
    if split == "all" or (split is None and fold is None):
        return Cases(tuple(entries), ())
    if fold is None:
        raise EvaluationError(
            "It is not said which fold's validation cases are meant.",
            remedy=f"Name it with --fold, from 0 to {NUM_FOLDS - 1}, or give --split all.",
        )
    return _held_back(entries, _split_anew(entries, data, fold).validate, fold)


def _of_own_data(
    run: RunDetails,
    entries: Sequence[Entry],
    trained: frozenset[str],
    *,
    fold: int | None,
    split: Split | None,
) -> Cases:
    own, kept = run.run.plan.fold, _own_fold(run)
    if fold is not None and fold != own and split != "all":
        held = "no fold" if own is None else f"fold {own}"
        raise EvaluationError(
            f"The run held back {held} and was trained on the cases of fold {fold}.",
            remedy="Leave --fold out, or give --split all to evaluate on training cases as well.",
        )
    if own is None or kept is None:
        if split == "validation":
            raise EvaluationError(
                "The run was trained on every case and held none back.",
                remedy="Evaluate it on another data set, or train it with --fold.",
            )
        return Cases(tuple(entries), (_remembers(len(entries), len(entries)),))
    if split == "all":
        seen = sum(entry.case_id in trained for entry in entries)
        return Cases(tuple(entries), (_remembers(seen, len(entries)),))
    return _held_back(entries, kept.validate, own)


def _held_back(entries: Sequence[Entry], held_back: Sequence[str], fold: int) -> Cases:
    chosen = tuple(entry for entry in entries if entry.case_id in held_back)
    if not chosen:
        raise EvaluationError(
            "The data set has no case that was held back.",
            remedy="Give --split all to evaluate on every case.",
        )
    return Cases(
        chosen, (f"Fold {fold}: {len(chosen)} cases held back of the {len(entries)} there are.",)
    )


def _remembers(seen: int, total: int) -> str:
    return (
        f"{seen} of the {total} cases were trained on: "
        "the figures say how well they are remembered, not how well new ones are found."
    )


def _trained_on(
    run: RunDetails | None, entries: Sequence[Entry], data: Path
) -> frozenset[str] | None:
    """Return the ids that `run` was trained on, where they are cases of this very data set."""
    if run is None:
        return None
    ids = frozenset(entry.case_id for entry in entries)
    is_same = run.data.resolve() == data.resolve()
    fold = _own_fold(run)
    if fold is None:
        return ids if is_same else None
    # A copy of the data set is the data set: its cases are no newer to the run.
    is_copy = ids <= {*fold.train, *fold.validate}
    return frozenset(fold.train) if is_same or is_copy else None


def _own_fold(run: RunDetails) -> Fold | None:
    from engine.data.splits import FILE_NAME, read_split

    own = run.run.plan.fold
    return None if own is None else read_split(run.run.folder / FILE_NAME)[own]


def _split_anew(entries: Sequence[Entry], data: Path, fold: int) -> Fold:
    """Return the fold that a training on this data set would be given."""
    from engine.data.splits import kept_split

    # A place of its own: the split of a data set belongs to runs, and there is none.
    with TemporaryDirectory() as folder:
        return kept_split(entries, Path(folder), data=data, num_folds=NUM_FOLDS)[fold]
