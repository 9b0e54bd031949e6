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

    @property
    def arguments(self) -> dict[str, Any]:
        """The options of `islet train` by name; what is None or empty keeps its default."""
        given = {
            "system": self.system,
            "size": self.size,
            "fold": self.fold,
            "epochs": self.epochs,
            "device": self.device,
            "devices": self.num_devices,
            "head": self.head,
            "augment_on": self.augment_on,
        }
        return {name: value for name, value in given.items() if value not in (None, "")}


def train_words(arguments: Mapping[str, Any], data: Path, run: Path) -> tuple[str, ...]:
    """Return what follows `islet` on the command line that trains with `arguments`."""
    options = {name: value for name, value in arguments.items() if name != "system"}
    words = ["train", str(arguments["system"]), "--data", str(data), "--run", str(run)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)


def safe_name(text: str) -> str:
    """Return `text` with what does not belong into the name of a folder made a hyphen."""
    return _NOT_IN_NAMES.sub("-", text).strip("-.")
