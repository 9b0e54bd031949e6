"""What a new run shall be, and the words of the command line for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_FOLDS = 5
ALL_CASES = -1
"""Stands for training on every case where a fold is chosen."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that is asked for.

    Args:
        name: Of its folder.
        data: Folder of the data set.
        system: Name of the system.
        size: "toy", "small" or "full".
        fold: Validation fold, counted from 0; None trains on every case.
        epochs: Instead of the system's own number; None keeps that.
        device: "auto", "cpu" or e.g. "cuda:0".
        num_devices: Processes that share every batch.
        head: "staged" or "paper"; empty where the system has no such choice.
        augment_on: "device" or "cpu"; empty leaves the choice to the trainer.
        uses_shipped_localiser: Whether the pancreas is found by the localiser that ships with
            Islet, instead of one that is trained first.
        skips_broken: Whether cases that the check finds broken are left out.
    """

    name: str
    data: Path
    system: str
    size: str = "full"
    fold: int | None = 0
    epochs: int | None = None
    device: str = "auto"
    num_devices: int = 1
    head: str = ""
    augment_on: str = ""
    uses_shipped_localiser: bool = False
    skips_broken: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The options of `islet train` by name; what is None or empty keeps its default."""
        given = {
            "system": self.system,
            "size": self.size,
            "fold": "all" if self.fold is None else self.fold,
            "epochs": self.epochs,
            "device": self.device,
            "devices": self.num_devices,
            "head": self.head,
            "augment_on": self.augment_on,
            "shipped_localiser": self.uses_shipped_localiser,
            "skip_broken": self.skips_broken,
        }
        return {name: value for name, value in given.items() if value not in (None, "", False)}


def train_words(arguments: Mapping[str, Any], data: Path, run: Path) -> tuple[str, ...]:
    """Return what follows `islet` on the command line that trains with `arguments`.

    Args:
        arguments: Options by name; what is true stands for itself.
        data: Folder of the data set.
        run: Folder of the run.
    """
    options = {name: value for name, value in arguments.items() if name != "system"}
    words = ["train", str(arguments["system"]), "--data", str(data), "--run", str(run)]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [flag, str(value)]
    return tuple(words)


def safe_name(text: str) -> str:
    """Return `text` with what does not belong into the name of a folder made a hyphen."""
    return _NOT_IN_NAMES.sub("-", text).strip("-.")
