"""The folder of one training: what its trainer writes, and what it is asked to do.

Everything in it is JSON, text, pictures and safetensors, so that it can be read while it grows,
after a crash, and by other programs.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.errors import IsletError
from engine.run import Plan, RunState
from engine.system_json import plan_to_json, system_to_json

Wish = Literal["run", "pause", "stop"]
"""What a reader of the run wants its trainer to do."""

RUN_FILE = "run.json"
SYSTEM_FILE = "system.json"
PLAN_FILE = "plan.json"
EVENTS_FILE = "events.jsonl"
CONTROL_FILE = "control"
LOG_FILE = "log.txt"
WEIGHTS_FILE = "weights.safetensors"
ENVIRONMENT_FILE = "environment.json"
LIVE_STATES = frozenset({RunState.RUNNING, RunState.PAUSED})

_WISHES: dict[str, Wish] = {"run": "run", "pause": "pause", "stop": "stop"}
# A window that starts a training opens its log before the trainer is there.
_MAY_BE_THERE_BEFORE = frozenset({LOG_FILE, CONTROL_FILE})
# ours: start times are told in hundredths of a second, counted from a clock that may be set
_SAME_START_S = 2.0


class RunFolderError(IsletError):
    """A folder that a training cannot use, or that is none of a training."""


class RunDiskFullError(RunFolderError):
    """There is no room for what a training writes."""

    def __init__(self) -> None:
        super().__init__(
            "The disk of the training's folder is full.",
            remedy="Free some space, and resume the training: what it had saved is kept.",
        )


class RunFolder:
    """A run's folder in the hands of the one process that trains.

    Made by `create` for a new run, or by `reopen` for one that goes on.

    Args:
        folder: Holds a run already.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, plan: Plan, *, data: Path, args: Mapping[str, Any]) -> RunFolder:
        """Begin a run of `plan` in `folder`, by this process.

        Args:
            folder: New or empty.
            plan: What is trained, and how.
            data: The data set.
            args: What the command line needs to resume it; plain JSON values.

        Raises:
            RunFolderError: If the folder holds another run or other files, or cannot be written.
        """
        _refuse_used(folder)
        values = {
            "run_id": folder.absolute().name,
            "started": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
            **this_process(),
            "data": str(data.absolute()),
            "state": RunState.RUNNING.value,
            "message": "",
            "remedy": "",
            "args": dict(args),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / SYSTEM_FILE, system_to_json(plan.system))
            write_json(folder / PLAN_FILE, plan_to_json(plan))
            # Last: a folder with this file is a run, and its plan is there.
            write_json(folder / RUN_FILE, values)
        except OSError as error:
            raise folder_error(error) from error
        return cls(folder)._begin()

    @classmethod
    def reopen(cls, folder: Path) -> RunFolder:
        """Go on with the run in `folder`, by this process.

        Raises:
            RunFolderError: If there is no run, another process trains it, or it is not writable.
        """
        values = read_run_file(folder)
        is_own = values.get("pid") == os.getpid()
        if values["state"] in LIVE_STATES and is_alive(values) and not is_own:
            raise RunFolderError(
                "Another process is training this run.",
                remedy="Wait for it, or stop it with 'islet runs stop'.",
            )
        try:
            write_json(folder / RUN_FILE, {**values, **this_process()})
        except OSError as error:
            raise folder_error(error) from error
        return cls(folder)._begin()

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard files."""
        return self.folder / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of what makes the run resumable."""
        return self.folder / "checkpoint"

    @property
    def log(self) -> Path:
        """Where the trainer's messages go."""
        return self.folder / LOG_FILE

    @property
    def weights(self) -> Path:
        """Where the trained weights go."""
        return self.folder / WEIGHTS_FILE

    @property
    def environment(self) -> Path:
        """Where the trainer says what it ran on."""
        return self.folder / ENVIRONMENT_FILE

    def picture_path(self, epoch: int) -> Path:
        """Return where sample predictions of `epoch` go; its folder is made."""
        path = self.folder / "pictures" / f"epoch-{epoch:04d}.png"
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise folder_error(error) from error
        return path

    def emit(self, event: str, **values: Any) -> None:
        """Append one event; whoever reads sees the whole of it or nothing.

        Args:
            event: Its kind.
            values: Plain JSON values; a number that is not finite is written as null.

        Raises:
            RunDiskFullError: If there is no room; the events before it are kept.
            RunFolderError: If it cannot be written for another reason.
        """
        try:
            append_event(self.folder / EVENTS_FILE, event, **values)
        except OSError as error:
            raise folder_error(error) from error

    def set_state(self, state: RunState, message: str = "", remedy: str = "") -> None:
        """Say what the run is doing now, in its events and for whoever opens it later.

        Args:
            state: What it is doing.
            message: What happened, where it failed: a whole sentence.
            remedy: What to do about it, as a whole sentence.

        Raises:
            RunFolderError: If it cannot be written, or the disk is full.
        """
        said = {"state": state.value, "message": message, "remedy": remedy}
        try:
            write_json(self.folder / RUN_FILE, {**read_run_file(self.folder), **said})
        except OSError as error:
            raise folder_error(error) from error
        self.emit("state", **said)

    def wanted(self) -> Wish:
        """Return what the run is asked to do; cheap enough to ask after every step."""
        return _WISHES.get(read_control(self.folder), "run")

    def _begin(self) -> RunFolder:
        """Forget what an earlier process was asked, and what it wrote by half."""
        try:
            write_wish(self.folder, "run")
            _mend(self.folder / EVENTS_FILE)
        except OSError as error:
            raise folder_error(error) from error
        self.set_state(RunState.RUNNING)
        return self


def read_run_file(folder: Path) -> dict[str, Any]:
    """Return what the run.json of `folder` says.

    Raises:
        RunFolderError: If there is none, or it is damaged.
    """
    try:
        values = json.loads((folder / RUN_FILE).read_bytes())
        is_whole = (
            isinstance(values["run_id"], str)
            and datetime.fromisoformat(values["started"]).tzinfo is not None
            and isinstance(values["data"], str)
            and isinstance(values["args"], dict)
            and RunState(values["state"])
        )
    except FileNotFoundError as error:
        raise RunFolderError(
            "There is no training run in this folder.",
            remedy="Name the folder that was given to 'islet train' with --run.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged() from error
    if not is_whole:
        raise _damaged()
    return values


def is_alive(values: Mapping[str, Any]) -> bool:
    """Return whether the process that a run.json names is still there, and is the same one."""
    pid, started = values.get("pid"), values.get("pid_started")
    if not isinstance(pid, int) or not isinstance(started, int | float):
        return False
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started) < _SAME_START_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def read_control(folder: Path) -> str:
    """Return what was written into the control file of `folder`; empty where nothing was."""
    try:
        return (folder / CONTROL_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def append_event(path: Path, event: str, **values: Any) -> None:
    """Append one event to the file at `path`, whole or not at all; may raise OSError.

    Args:
        path: Made where it is missing.
        event: Its kind.
        values: Plain JSON values; a number that is not finite is written as null.
    """
    append_line(path, {"event": event, "time": round(time.time(), 3), **values})


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append one JSON object to the file at `path`, whole or not at all; may raise OSError."""
    _append(path, json.dumps(_finite(values), allow_nan=False).encode() + b"\n")


def write_wish(folder: Path, wish: Wish) -> None:
    """Ask the trainer of `folder` to do `wish`; may raise OSError."""
    replace_text(folder / CONTROL_FILE, f"{wish}\n")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` at `path`, whole or not at all; may raise OSError."""
    replace_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write `text` at `path`, whole or not at all; may raise OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _refuse_used(folder: Path) -> None:
    if (folder / RUN_FILE).exists():
        raise RunFolderError(
            "The folder holds a training run already.",
            remedy="Go on with that run by --resume, or name a new folder with --run.",
        )
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(
            "The place for the run is a file, not a folder.",
            remedy="Name a new folder with --run.",
        )
    if folder.is_dir() and {path.name for path in folder.iterdir()} - _MAY_BE_THERE_BEFORE:
        raise RunFolderError(
            "The folder for the run is not empty.",
            remedy="Name a new folder with --run, or empty this one.",
        )


def this_process() -> dict[str, Any]:
    """Return what `is_alive` needs to know this process by."""
    process = psutil.Process()
    return {"pid": process.pid, "pid_started": process.create_time()}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        written = 0
        try:
            # One call as a rule; a disk that fills up may take a part.
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left half written."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _damaged() -> RunFolderError:
    return RunFolderError(
        "The description of the training run is damaged.",
        remedy="Delete the run, or restore its folder from a copy.",
    )


def folder_error(error: OSError) -> RunFolderError:
    """Return what to tell the user where writing into a run's folder failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunDiskFullError()
    return RunFolderError(
        "The training's folder cannot be written to.",
        remedy="Name another folder with --run, or ask its owner for permission to write.",
    )
