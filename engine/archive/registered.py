"""Systems that analyse: those of the catalogue, and those trained and registered here."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

from engine.archive.federation import (
    ORDER_FILE,
    RESULT_FILE,
    ROUNDS_FILE,
    is_run,
    read_lines,
)
from engine.archive.run_folder import SYSTEM_FILE, WEIGHTS_FILE, write_json
from engine.archive.runs import read_run
from engine.archive.weights_file import copy_renamed
from engine.catalogue import SYSTEMS
from engine.errors import IsletError
from engine.registry import UnknownNameError
from engine.run import TrainingRun
from engine.system import System
from engine.system_json import DamagedSystemError, system_from_json, system_to_json

log = logging.getLogger(__name__)

_PROVENANCE_FILE = "provenance.json"
# As engine.data.splits calls it, which the window is not to load.
_SPLITS_FILE = "splits.json"
# What every file system takes, and no shell or web page changes.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class RegisterError(IsletError):
    """A run that cannot become a system under the name it was given."""


class DamagedRegistrationError(IsletError):
    """A registered system whose files are missing or damaged."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The registered system '{name}' is damaged.",
            remedy=f"Remove it with 'islet unregister {name}', and register its run again.",
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a registered system comes from.

    Args:
        run_id: The run that trained it.
        system: Name of the catalogue's system that it was trained as.
        size: Of that system.
        dataset: Name of the data set.
        fold: Held back for validation; None where none was.
        num_epochs: Finished when it was registered.
        validated_epoch: The last one that was validated, counted from 1; None without a validation.
        scores: Of that validation, by name: the weights are those of the last epoch.
        registered: When, ISO 8601 with the offset from UTC.
        weights_sha256: Of the registered weights, hexadecimal; what every prediction states.
        islet: Version that registered it.
    """

    run_id: str
    system: str
    size: str
    dataset: str
    fold: int | None
    num_epochs: int
    validated_epoch: int | None
    scores: Mapping[str, float]
    registered: str
    weights_sha256: str
    islet: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))


def systems_folder() -> Path:
    """Return where registered systems lie, one folder each."""
    return platformdirs.user_data_path("islet") / "systems"


def find_system(name: str) -> System:
    """Return the system called `name`, of the catalogue or registered here.

    Raises:
        UnknownNameError: If there is none; its remedy names the nearest match.
        DamagedRegistrationError: If it is registered, and damaged.
    """
    if name in SYSTEMS:
        return SYSTEMS.get(name)
    if _NAME.fullmatch(name) and (systems_folder() / name).is_dir():
        return _read(systems_folder() / name)
    known = {*SYSTEMS.names(), *(system.name for system in registered_systems()[0])}
    raise UnknownNameError("system", name, tuple(sorted(known)))


def all_systems() -> tuple[System, ...]:
    """Return the catalogue, then every registered system by name; damaged ones are left out."""
    systems, remarks = registered_systems()
    if remarks:
        log.warning("Left out %d registered systems that cannot be used", len(remarks))
    return (*SYSTEMS, *systems)


def registered_systems() -> tuple[tuple[System, ...], tuple[str, ...]]:
    """Return the registered systems by name, and a sentence for each that cannot be used."""
    place = systems_folder()
    if not place.is_dir():
        return (), ()
    systems: list[System] = []
    remarks: list[str] = []
    for folder in sorted(place.iterdir()):
        if not (_NAME.fullmatch(folder.name) and folder.is_dir()):
            continue
        if folder.name in SYSTEMS:
            remarks.append(f"The registered system '{folder.name}' gives way to Islet's own.")
            continue
        try:
            systems.append(_read(folder))
        except DamagedRegistrationError as error:
            remarks.append(f"{error.message} {error.remedy}")
    return tuple(systems), tuple(remarks)


def is_registered(name: str) -> bool:
    """Return whether `name` was given to a run on this computer, not by the catalogue."""
    return name not in SYSTEMS and bool(_NAME.fullmatch(name)) and _folder_of(name).is_dir()


def weights_of(name: str) -> Path | None:
    """Return the weights of the system called `name`, shipped or registered; None without."""
    if not _NAME.fullmatch(name):
        return None
    path = (_shipped_folder() if name in SYSTEMS else systems_folder()) / name / WEIGHTS_FILE
    return path if path.is_file() else None


def provenance_of(name: str) -> Provenance | None:
    """Return where the registered system `name` comes from; None where nobody knows."""
    if not is_registered(name):
        return None
    try:
        told = Provenance(**json.loads((_folder_of(name) / _PROVENANCE_FILE).read_bytes()))
        datetime.fromisoformat(told.registered)
        return told
    except (OSError, ValueError, TypeError):
        return None


def original_name(name: str) -> str:
    """Return the catalogue's name of a system that was registered under another one."""
    told = provenance_of(name)
    return name if told is None else told.system


def splits_of(name: str) -> Path | None:
    """Return which cases the registered system `name` trained on; None where nobody knows."""
    path = _folder_of(name) / _SPLITS_FILE
    return path if is_registered(name) and path.is_file() else None


def register(run_folder: Path, name: str | None = None) -> System:
    """Make the weights of a run a system that analyses; the run itself is not needed any more.

    Args:
        run_folder: A finished run, of a training or of a federation.
        name: What the system shall be called; None takes the run's own name.

    Raises:
        RegisterError: If the run has no weights, the name is taken or unfit, or it cannot be
            written.
        RunFolderError: If there is no run, or it is damaged.
    """
    wanted = run_folder.name if name is None else name
    _check_name(wanted)
    whole, provenance = _of_federation(run_folder) if is_run(run_folder) else _of_run(run_folder)
    if not (run_folder / WEIGHTS_FILE).is_file():
        raise RegisterError(
            "The run has no weights yet.",
            remedy="They are written when a training is finished: resume it, or start one with "
            "fewer epochs, and register it then.",
        )
    system = replace(whole, name=wanted, sizes={})
    _write(system, run_folder, provenance, _folder_of(wanted))
    log.info("Registered a run as a system")
    return system


def free_name(run_folder: Path) -> str:
    """Return a name under which a run can be registered: its own, or its own with a number."""
    own = run_folder.name if _NAME.fullmatch(run_folder.name) else "trained"
    taken = {*SYSTEMS.names(), *(path.name for path in _names_in(systems_folder()))}
    numbered = (f"{own}-{number}" for number in count(2))
    return next(name for name in (own, *islice(numbered, len(taken) + 1)) if name not in taken)


def _names_in(folder: Path) -> tuple[Path, ...]:
    return tuple(folder.iterdir()) if folder.is_dir() else ()


def unregister(name: str) -> None:
    """Remove the registered system called `name`; the run it came from stays.

    Raises:
        RegisterError: If the catalogue has it, or it cannot be removed.
        UnknownNameError: If nothing is registered under that name.
    """
    if name in SYSTEMS:
        raise RegisterError(
            f"The system '{name}' belongs to Islet and cannot be removed.",
            remedy="Name a system that you registered; 'islet systems' lists them.",
        )
    if not is_registered(name):
        known = tuple(system.name for system in registered_systems()[0])
        raise UnknownNameError("registered system", name, known)
    try:
        shutil.rmtree(_folder_of(name))
    except OSError as error:
        raise RegisterError(
            f"The system '{name}' could not be removed completely.",
            remedy="Close what uses it, check your permissions, and remove it again.",
        ) from error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RegisterError(
            f"'{name}' cannot be the name of a system.",
            remedy="Use up to 64 letters, digits, dots, hyphens and underscores; "
            "begin with a letter or digit.",
        )
    if name.casefold() in {known.casefold() for known in SYSTEMS.names()}:
        raise RegisterError(
            f"'{name}' is the name of a system of Islet.",
            remedy="Choose another name with --name.",
        )
    # Two names that differ in case alone would be one folder on some disks.
    place = systems_folder()
    taken = {path.name.casefold() for path in place.iterdir()} if place.is_dir() else set[str]()
    if name.casefold() in taken:
        raise RegisterError(
            f"There is a registered system called '{name}' already.",
            remedy=f"Choose another name with --name, or remove it with 'islet unregister {name}'.",
        )


def _of_run(folder: Path) -> tuple[System, dict[str, Any]]:
    run = read_run(folder)
    return run.plan.system, _provenance(run)


def _of_federation(folder: Path) -> tuple[System, dict[str, Any]]:
    """Return the common system of a finished run of a federation, and where it comes from."""
    try:
        system = system_from_json(json.loads((folder / SYSTEM_FILE).read_bytes()))
        found = json.loads((folder / RESULT_FILE).read_bytes())
        order = json.loads((folder / ORDER_FILE).read_bytes())["order"]
        provenance = {
            "run_id": folder.name,
            "system": original_name(system.name),
            "size": order["size"],
            "dataset": "a federation",
            "fold": None,
            "num_epochs": len(read_lines(folder / ROUNDS_FILE)),
            "validated_epoch": found["best_round"],
            "scores": {},
        }
    except (OSError, ValueError, KeyError, TypeError, DamagedSystemError) as error:
        raise RegisterError(
            "The run of the federation has no common model yet.",
            remedy="It is written when its last round is judged: resume the run.",
        ) from error
    return system, provenance


def _write(system: System, source: Path, provenance: Mapping[str, Any], folder: Path) -> None:
    """Write the registered system at `folder`, whole or not at all."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        staging.mkdir(parents=True)
        copy_renamed(source / WEIGHTS_FILE, staging / WEIGHTS_FILE, system.name)
        write_json(staging / SYSTEM_FILE, system_to_json(system))
        registered = {**provenance, **_registered(staging / WEIGHTS_FILE)}
        write_json(staging / _PROVENANCE_FILE, registered)
        if (source / _SPLITS_FILE).is_file():
            shutil.copyfile(source / _SPLITS_FILE, staging / _SPLITS_FILE)
        staging.rename(folder)
    except OSError as error:
        raise _unwritable(error) from error
    except ValueError as error:
        raise RegisterError(
            "The weights of the run are damaged.",
            remedy="Resume the run with --resume, so that it writes them again.",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _registered(weights: Path) -> dict[str, Any]:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "registered": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "weights_sha256": digest,
        "islet": version("islet"),
    }


def _provenance(run: TrainingRun) -> dict[str, Any]:
    last = next((record for record in reversed(run.history) if record.scores), None)
    return {
        "run_id": run.run_id,
        "system": original_name(run.plan.system.name),
        "size": run.plan.size,
        "dataset": run.plan.dataset,
        "fold": run.plan.fold,
        "num_epochs": len(run.history),
        "validated_epoch": None if last is None else last.epoch,
        "scores": {} if last is None else dict(last.scores),
    }


def _read(folder: Path) -> System:
    try:
        system = system_from_json(json.loads((folder / SYSTEM_FILE).read_bytes()))
    except (OSError, ValueError, DamagedSystemError) as error:
        raise DamagedRegistrationError(folder.name) from error
    if system.name != folder.name or not (folder / WEIGHTS_FILE).is_file():
        raise DamagedRegistrationError(folder.name)
    return system


def _folder_of(name: str) -> Path:
    return systems_folder() / name


def _shipped_folder() -> Path:
    return Path(str(files("engine"))).parent / "resources" / "systems"


def _unwritable(error: OSError) -> RegisterError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RegisterError(
            "The disk that holds the registered systems is full.",
            remedy="Free some space, and register the run again.",
        )
    return RegisterError(
        "The registered system cannot be written.",
        remedy="Ask for permission to write into your own data folder, and register it again.",
    )
