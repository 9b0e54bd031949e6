"""Split cases into folds, each with its share of every subtype, once and for all."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.datasets import Entry
from engine.errors import IsletError

log = logging.getLogger(__name__)

FILE_NAME = "splits.json"
_NNUNET_FILE_NAME = "splits_final.json"


class SplitError(IsletError):
    """A saved split that does not fit the data set."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The saved split does not fit the data set: {what}.",
            remedy="Choose a new folder for the run, or delete the file with the split.",
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """Which cases train and which validate.

    Args:
        train: Case ids, in the order of their names.
        validate: Those of the other cases.
    """

    train: tuple[str, ...]
    validate: tuple[str, ...]


def split(entries: Sequence[Entry], num_folds: int = 5, seed: int = 0) -> tuple[Fold, ...]:
    """Deal the cases of every subtype out to the folds in turn; healthy is one of them.

    The folds differ by at most one case in every subtype and in all. The order of `entries` does
    not matter.

    Raises:
        IsletError: If there are fewer cases than folds, or fewer than two folds.
    """
    if not 2 <= num_folds <= len(entries):
        cases = "One case" if len(entries) == 1 else f"{len(entries)} cases"
        raise IsletError(
            f"{cases} cannot be split into {num_folds} folds.",
            remedy="Add cases, or train on every one of them with --fold all in a new folder.",
        )
    rng = np.random.default_rng(seed)
    subtypes = {entry.case_id: -1 if entry.subtype is None else entry.subtype for entry in entries}
    dealt: list[str] = []
    for subtype in sorted(set(subtypes.values())):
        cases = sorted(case_id for case_id, its in subtypes.items() if its == subtype)
        dealt += [cases[int(number)] for number in rng.permutation(len(cases))]
    # One row of cards for all subtypes, so that the remainders do not meet in the first fold.
    parts = [frozenset(dealt[number::num_folds]) for number in range(num_folds)]
    return tuple(Fold(tuple(sorted(set(dealt) - part)), tuple(sorted(part))) for part in parts)


def kept_split(
    entries: Sequence[Entry], folder: Path, *, data: Path, num_folds: int = 5, seed: int = 0
) -> tuple[Fold, ...]:
    """Return the split saved in `folder`, or else make one and save it there.

    nnU-Net's own `splits_final.json` in the data set is taken over where there is one.

    Args:
        entries: The cases.
        folder: Of the run or of the store; made where it does not exist.
        data: The data set.
        num_folds: How many folds; a saved split has its own number.
        seed: Of the order in which cases are dealt out.

    Raises:
        SplitError: If a saved split does not hold just these cases.
        IsletError: If it cannot be saved.
    """
    saved = folder / FILE_NAME
    for path in (saved, data / _NNUNET_FILE_NAME):
        if path.is_file():
            folds = read_split(path)
            check_split(folds, entries)
            break
    else:
        folds = split(entries, num_folds, seed)
    if not saved.is_file():
        _save(folds, saved)
    return folds


def keep_whole(entries: Sequence[Entry], folder: Path) -> None:
    """Save in `folder` that every case trains and none validates, unless a split is saved there.

    Raises:
        SplitError: If a saved split does not hold just these cases.
        IsletError: If it cannot be saved.
    """
    saved = folder / FILE_NAME
    if saved.is_file():
        check_split(read_split(saved), entries)
    else:
        _save([Fold(tuple(sorted({entry.case_id for entry in entries})), ())], saved)


def read_split(path: Path) -> tuple[Fold, ...]:
    """Read a split, Islet's or nnU-Net's: a list of {"train": [...], "val": [...]}.

    Raises:
        SplitError: If the file holds something else.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        folds = tuple(Fold(_ids(each["train"]), _ids(each["val"])) for each in listed)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SplitError(f"{path.name} cannot be read") from error
    if not folds:
        raise SplitError(f"{path.name} has no folds")
    return folds


def check_split(folds: Sequence[Fold], entries: Sequence[Entry]) -> None:
    """Refuse a split that leaves cases out, names others, or validates on what it trains on.

    Raises:
        SplitError: If one of that is so.
    """
    cases = {entry.case_id for entry in entries}
    for number, fold in enumerate(folds):
        train, validate = set(fold.train), set(fold.validate)
        both, unknown = train & validate, (train | validate) - cases
        left_out = cases - train - validate
        if both:
            raise SplitError(f"fold {number} trains and validates on case {min(both)}")
        if unknown:
            raise SplitError(f"the data set has no case {min(unknown)}")
        if left_out:
            raise SplitError(f"fold {number} leaves out case {min(left_out)}")


def _ids(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of names")
    return tuple(sorted(values))


def _save(folds: Sequence[Fold], path: Path) -> None:
    listed = [{"train": list(fold.train), "val": list(fold.validate)} for fold in folds]
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise IsletError(
            "The split of the cases cannot be saved.",
            remedy="Check that the folder of the run can be written and has space left.",
        ) from error
