"""What `islet evaluate` is asked about: a run or a system, and the cases to ask it about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
class Origin:
    """The run that weights come from.

    Args:
        fold: Held back; None where no case was.
        split: What it trained on and held back; None where no file says so.
        data: Folder of its data set; None where nobody knows.
    """

    fold: int | None
    split: Fold | None
    data: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """What is evaluated.

    Args:
        system: The system, at the size it was trained at.
        weights: Its weights file; None takes the installed one.
        origin: The run it comes from; None where nobody knows.
    """

    system: System
    weights: Path | None
    origin: Origin | None


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
        IsletError: If there is neither, or what there is is damaged.
    """
    from engine.archive.registered import find_system
    from engine.archive.run_folder import RUN_FILE, WEIGHTS_FILE
    from engine.archive.runs import read_details

    folder = Path(name)
    if not (folder / RUN_FILE).is_file():
        return Target(find_system(name), weights, _origin_of_system(name))
    run = read_details(folder)
    path = weights or folder / WEIGHTS_FILE
    if not path.is_file():
        raise EvaluationError(
            "The run has no weights yet.",
            remedy="They are written when a training is finished: resume it, or start one with "
            "fewer epochs, and evaluate it then.",
        )
    return Target(run.run.plan.system, path, _origin_of_run(run))


def choose_cases(
    target: Target,
    entries: Sequence[Entry],
    data: Path,
    *,
    fold: int | None,
    split: Split | None,
) -> Cases:
    """Return the cases to evaluate: never unnoticed those that were trained on.

    Args:
        target: What is evaluated.
        entries: Of the data set.
        data: Its folder.
        fold: Whose held-back cases are meant; None takes the run's own fold.
        split: "validation" or "all"; None takes the held-back cases of a run, or of a system
            that was registered from one, on its own data set, or of the fold that is named,
            else all.

    Raises:
        EvaluationError: If the fold is not the run's, or there is none.
    """
    origin = target.origin
    if origin is not None and _is_own(origin, entries, data):
        return _of_own_data(origin, entries, fold=fold, split=split)
    if split == "all" or (split is None and fold is None):
        return Cases(tuple(entries), _namesakes(origin, entries))
    if fold is None:
        raise EvaluationError(
            "It is not said which fold's validation cases are meant.",
            remedy=f"Name it with --fold, from 0 to {NUM_FOLDS - 1}, or give --split all.",
        )
    cases = _held_back(entries, _split_anew(entries, data, fold).validate, fold)
    return replace(cases, remarks=(*cases.remarks, *_namesakes(origin, cases.entries)))


def _origin_of_run(run: RunDetails) -> Origin:
    from engine.data.splits import FILE_NAME

    fold, path = run.run.plan.fold, run.run.folder / FILE_NAME
    knows = fold is not None or path.is_file()
    return Origin(fold, _own_split(path, fold) if knows else None, run.data)


def _origin_of_system(name: str) -> Origin | None:
    from engine.archive.registered import DamagedRegistrationError, provenance_of, splits_of
    from engine.data.splits import SplitError

    path, told = splits_of(name), provenance_of(name)
    if path is None or told is None:
        return None
    try:
        return Origin(told.fold, _own_split(path, told.fold), None)
    except SplitError as error:
        raise DamagedRegistrationError(name) from error


def _own_split(path: Path, fold: int | None) -> Fold:
    """Return what was trained on and held back where `fold` was; every case without a fold.

    Raises:
        SplitError: If the file is damaged.
    """
    from engine.data.splits import Fold, SplitError, read_split

    folds = read_split(path)
    if fold is None:
        return Fold(tuple(sorted({*folds[0].train, *folds[0].validate})), ())
    if fold >= len(folds):
        raise SplitError(f"{path.name} has no fold {fold}")
    return folds[fold]


def _is_own(origin: Origin, entries: Sequence[Entry], data: Path) -> bool:
    """Return whether a data set is the one that the run was trained on, or a copy."""
    if origin.data is not None and origin.data.resolve() == data.resolve():
        return True
    # A copy of the data set is the data set: its cases are no newer to the run.
    ids = {entry.case_id for entry in entries}
    return origin.split is not None and ids <= {*origin.split.train, *origin.split.validate}


def _of_own_data(
    origin: Origin, entries: Sequence[Entry], *, fold: int | None, split: Split | None
) -> Cases:
    own = origin.fold
    if fold is not None and fold != own and split != "all":
        held = "no fold" if own is None else f"fold {own}"
        raise EvaluationError(
            f"The run held back {held} and was trained on the cases of fold {fold}.",
            remedy="Leave --fold out, or give --split all to evaluate on training cases as well.",
        )
    if own is None and split == "validation":
        raise EvaluationError(
            "The run was trained on every case and held none back.",
            remedy="Evaluate it on another data set, or train it with --fold.",
        )
    seen = _num_trained_on(origin, entries)
    if own is None or origin.split is None:
        return Cases(tuple(entries), (f"No case was held back. {_remembers(seen, len(entries))}",))
    if split == "all":
        return Cases(tuple(entries), (_remembers(seen, len(entries)),))
    return _held_back(entries, origin.split.validate, own)


def _held_back(entries: Sequence[Entry], held_back: Sequence[str], fold: int) -> Cases:
    chosen = tuple(entry for entry in entries if entry.case_id in held_back)
    if not chosen:
        raise EvaluationError(
            "The data set has no case that was held back.",
            remedy="Give --split all to evaluate on every case.",
        )
    amount = "1 case" if len(chosen) == 1 else f"{len(chosen)} cases"
    said = f"{amount} held back of the {len(entries)} there are."
    if len(entries) == 1:
        said = "the only case was held back."
    return Cases(chosen, (f"Fold {fold}: {said}",))


def _namesakes(origin: Origin | None, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return a remark where a data set that is another one has cases that may be the same."""
    seen = 0 if origin is None or origin.split is None else _num_trained_on(origin, entries)
    if not seen:
        return ()
    return (f"Going by their names: {_remembers(seen, len(entries))}",)


def _remembers(seen: int, total: int) -> str:
    cases = "The only case" if total == 1 else f"{seen} of the {total} cases"
    verb = "was" if seen == 1 else "were"
    return f"{cases} {verb} trained on: the figures tell of memory, not of new cases."


def _num_trained_on(origin: Origin, entries: Sequence[Entry]) -> int:
    if origin.split is None:
        return len(entries)
    trained = frozenset(origin.split.train)
    return sum(entry.case_id in trained for entry in entries)


def _split_anew(entries: Sequence[Entry], data: Path, fold: int) -> Fold:
    """Return the fold that a training on this data set would be given."""
    from engine.data.splits import kept_split

    # A place of its own: the split of a data set belongs to runs, and there is none.
    with TemporaryDirectory() as folder:
        return kept_split(entries, Path(folder), data=data, num_folds=NUM_FOLDS)[fold]
