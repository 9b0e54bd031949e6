"""Arrays that the window and the engine process share through a mapped file.

Voxels are patient data: the file is readable by its owner alone, its name goes away as soon
as both processes have mapped it, and what a crash leaves behind is swept at the next start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.errors import IsletError
from engine.wire import MappedArray

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

_NAME = re.compile(r"islet-\d+-[a-z0-9_]+\.voxels")
# ours: whoever fills shared memory to the brim takes it from the rest of the machine.
_ROOM_TO_SPARE = 1.2


class NoRoomError(IsletError):
    """No folder has room for the voxels."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(
            f"There is no room for the {num_bytes / 1e6:.0f} MB that the engine needs to see "
            "the volume.",
            remedy="Free space in the temporary folder or in shared memory, and analyse again.",
        )


class SharedArray:
    """An array in a file that another process may map while its name lasts.

    Args:
        shape: (slices, rows, columns).
        dtype: Voxel type.
        folders: Where the file may lie, best first.

    Raises:
        NoRoomError: If no folder has room.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        *,
        folders: tuple[Path, ...] | None = None,
    ) -> None:
        self._dtype = np.dtype(dtype)
        num_bytes = int(np.prod(shape)) * self._dtype.itemsize
        places = shared_folders() if folders is None else folders
        self._file, self._path = _make_file(num_bytes, places)
        # Also runs when the object is collected, or when the program ends.
        self._remove = weakref.finalize(self, _remove_file, self._file, self._path)
        self._shape = shape
        self._array = np.memmap(self._path, dtype=self._dtype, mode="r+", shape=shape)

    @property
    def array(self) -> NDArray[Any]:
        """The voxels; what is written is seen by every process that maps them."""
        return np.asarray(self._array)

    @property
    def descriptor(self) -> MappedArray:
        """What another process needs to map the array."""
        return MappedArray(str(self._path), self._dtype.name, self._shape)

    def unlink(self) -> None:
        """Take the file's name away; those who have mapped it keep the voxels.

        Windows does not let go of a file in use: there it stays until `close`.
        """
        with contextlib.suppress(PermissionError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the voxels and of the file; arrays handed out keep them alive."""
        del self._array
        self._remove()


def share(voxels: NDArray[Any]) -> SharedArray:
    """Return a shared copy of `voxels`."""
    shared = SharedArray(voxels.shape, voxels.dtype)
    shared.array[...] = voxels
    return shared


def shared_folders() -> tuple[Path, ...]:
    """Return the folders a shared array may lie in: memory first, then the disk."""
    in_memory = [Path("/dev/shm")] if sys.platform == "linux" else []
    at_runtime = [Path(value) for name, value in os.environ.items() if name == "XDG_RUNTIME_DIR"]
    candidates = (*in_memory, *at_runtime, Path(tempfile.gettempdir()))
    return tuple(folder for folder in candidates if os.access(folder, os.W_OK))


def sweep_leftovers(folders: tuple[Path, ...] | None = None) -> int:
    """Remove the shared arrays of processes that died, and return how many there were."""
    places = shared_folders() if folders is None else folders
    files = [path for folder in places for path in folder.glob("islet-*.voxels")]
    swept = sum(_sweep(path) for path in files if _NAME.fullmatch(path.name))
    if swept:
        log.info("Removed %d shared volumes that a crash had left behind", swept)
    return swept


def _make_file(num_bytes: int, folders: tuple[Path, ...]) -> tuple[int, Path]:
    for folder in folders:
        if _free_bytes(folder) < num_bytes * _ROOM_TO_SPARE:
            continue
        # mkstemp opens with mode 0600.
        file, name = tempfile.mkstemp(".voxels", f"islet-{os.getpid()}-", folder)
        try:
            _hold(file)
            _reserve(file, num_bytes)
        except OSError as error:
            log.warning("No shared volume in %s: %s", folder.name, error.strerror)
            _remove_file(file, Path(name))
        else:
            return file, Path(name)
    raise NoRoomError(num_bytes)


def _free_bytes(folder: Path) -> int:
    if not hasattr(os, "statvfs"):
        return sys.maxsize
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def _reserve(file: int, num_bytes: int) -> None:
    # A sparse file in a full tmpfs kills the process that writes to it (SIGBUS);
    # reserving the space turns that into an error here.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, num_bytes)
    else:
        os.ftruncate(file, num_bytes)


def _hold(file: int) -> None:
    """Mark the file as in use until this process ends, however it ends."""
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep(path: Path) -> bool:
    # The lock, not the process id in the name, says whether the owner lives: ids are
    # used again, and a container counts its own. Windows refuses to remove a file in use.
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _hold(file)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _remove_file(file: int, path: Path) -> None:
    os.close(file)
    with contextlib.suppress(PermissionError):
        path.unlink(missing_ok=True)
