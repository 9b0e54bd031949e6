from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.tasks.shared_volume import NoRoomError, SharedArray, share, shared_folders, sweep_leftovers

SHAPE = (3, 4, 5)

MAPPER = """
import sys, json
from engine.wire import mapped_array
array = mapped_array(json.loads(sys.argv[1])).open_to_write()
array[0, 0, 0] = array.sum()
"""

OWNER = """
import sys
from pathlib import Path
from app.tasks.shared_volume import SharedArray
shared = SharedArray((3, 4, 5), "int16", folders=(Path(sys.argv[1]),))
sys.stdout.write("here\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def start_owner(folder: Path) -> subprocess.Popen:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout.readline() == b"here\n"
    return owner


def test_another_process_sees_and_writes_the_same_voxels(tmp_path):
    import json
    from dataclasses import asdict

    shared = SharedArray(SHAPE, np.int16, folders=(tmp_path,))
    shared.array[...] = 2
    argument = json.dumps(asdict(shared.descriptor))
    subprocess.run([sys.executable, "-c", MAPPER, argument], check=True)
    assert shared.array[0, 0, 0] == 120
    shared.close()


def test_shared_copy_equals_what_it_copies():
    voxels = np.arange(60, dtype=np.float32).reshape(SHAPE)
    shared = share(voxels)
    assert np.array_equal(shared.array, voxels)
    assert shared.descriptor.dtype == "float32"
    shared.close()


def test_only_the_owner_may_read_the_file(tmp_path):
    shared = SharedArray(SHAPE, np.int16, folders=(tmp_path,))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shared.close()


def test_unlinked_array_keeps_its_voxels_and_has_no_file(tmp_path):
    shared = share(np.full(SHAPE, 7, np.int16))
    shared.unlink()
    assert not Path(shared.descriptor.path).exists()
    assert shared.array.sum() == 420
    shared.close()


def test_closed_or_forgotten_array_leaves_no_file(tmp_path):
    shared = SharedArray(SHAPE, np.int16, folders=(tmp_path,))
    shared.close()
    assert list(tmp_path.iterdir()) == []
    shared = SharedArray(SHAPE, np.int16, folders=(tmp_path,))
    del shared
    assert list(tmp_path.iterdir()) == []


def test_folder_without_room_is_passed_over(tmp_path, monkeypatch):
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    full.mkdir()
    roomy.mkdir()
    real = os.statvfs

    def statvfs(path):
        state = real(path)
        if Path(path) == full:
            return os.statvfs_result((*state[:4], 0, *state[5:]))
        return state

    monkeypatch.setattr(os, "statvfs", statvfs)
    shared = SharedArray(SHAPE, np.int16, folders=(full, roomy))
    assert list(full.iterdir()) == []
    assert Path(shared.descriptor.path).parent == roomy
    shared.close()


def test_folder_that_fills_up_while_reserving_is_passed_over(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    real, calls = os.posix_fallocate, []

    def fallocate(file, offset, length):
        calls.append(length)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        real(file, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    shared = SharedArray(SHAPE, np.int16, folders=(first, second))
    assert list(first.iterdir()) == []
    assert Path(shared.descriptor.path).stat().st_size == 120
    shared.close()


def test_lack_of_room_everywhere_is_an_error_with_the_size(tmp_path):
    with pytest.raises(NoRoomError) as caught:
        SharedArray((10**6, 10**5, 10**5), np.int16, folders=(tmp_path,))
    assert caught.value.message.startswith("There is no room for the 20000000000 MB")
    assert caught.value.remedy == (
        "Free space in the temporary folder or in shared memory, and analyse again."
    )


def test_machine_without_shared_memory_uses_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert shared_folders() == (tmp_path,)


def test_sweep_removes_what_a_killed_process_left_and_spares_the_living(tmp_path):
    living = start_owner(tmp_path)
    killed = start_owner(tmp_path)
    with living, killed:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2, "a killed process cannot clean up"
        assert sweep_leftovers((tmp_path,)) == 1
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(f"islet-{living.pid}-")
        living.stdin.close()
        living.wait()
        assert list(tmp_path.iterdir()) == []


def test_sweep_leaves_the_files_of_others_alone(tmp_path):
    for name in ("islet-notes.voxels", "other-1-abc.voxels", "islet-1-abc.txt"):
        (tmp_path / name).write_text("mine")
    assert sweep_leftovers((tmp_path,)) == 0
    assert len(list(tmp_path.iterdir())) == 3
