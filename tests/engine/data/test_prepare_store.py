"""Preparation may stop at any moment, and goes on where it was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.data import store as store_module
from engine.data.datasets import Entry, find_entries
from engine.data.prepare_store import StoreError, default_store, prepare_store
from engine.data.store import read_store, stored_ids
from engine.errors import CancelledError
from engine.system import Preparation
from tests.engine.data.tiny_dataset import write_tiny

_PREPARATION = Preparation((4.0, 2.0, 2.0), (-160.0, 340.0), hu_mean=50.0, hu_sd=100.0)
_BOTH = ("pancreas", "lesion")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "data")


def _prepare(entries: tuple[Entry, ...], folder: Path, structures=_BOTH, **given) -> int:
    return prepare_store(entries, _PREPARATION, structures, folder, **given)


def _many(data: Path, num: int) -> tuple[Entry, ...]:
    """Return one case under many names."""
    entry = find_entries(data)[0]
    return tuple(replace(entry, case_id=f"case_{number:03}") for number in range(num))


def _cancel(_stage: str, fraction: float) -> None:
    if fraction > 0.4:
        raise CancelledError


def _voxels(folder: Path) -> dict[str, bytes]:
    names = ("image.b2nd", "labels.b2nd", "positions.npy")
    return {
        f"{case_id}/{name}": (folder / case_id / name).read_bytes()
        for case_id in stored_ids(folder)
        for name in names
    }


def _no_rests(folder: Path) -> bool:
    return not list(folder.glob(".*"))


def test_side_by_side_gives_the_same_store_as_one_by_one(data: Path, tmp_path: Path) -> None:
    entries = find_entries(data)
    seen: list[float] = []
    assert _prepare(entries, tmp_path / "one") == 4
    report = lambda _stage, fraction: seen.append(fraction)  # noqa: E731
    assert _prepare(entries, tmp_path / "two", workers=2, on_progress=report) == 4
    assert _voxels(tmp_path / "one") == _voxels(tmp_path / "two")
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert [case.subtype for case in read_store(tmp_path / "two")] == [0, 1, 2, None]


def test_what_is_ready_is_not_prepared_again(data: Path, tmp_path: Path) -> None:
    entries = find_entries(data)
    assert _prepare(entries[:3], tmp_path / "store") == 3
    assert _prepare(entries, tmp_path / "store") == 1
    assert _prepare(entries, tmp_path / "store") == 0


def test_only_a_changed_case_is_prepared_again(data: Path, tmp_path: Path) -> None:
    _prepare(find_entries(data), tmp_path / "store")
    image = data / "imagesTr" / "b_0000.nii.gz"
    image.write_bytes((data / "imagesTr" / "c_0000.nii.gz").read_bytes())
    before = _voxels(tmp_path / "store")
    assert _prepare(find_entries(data), tmp_path / "store") == 1
    after = _voxels(tmp_path / "store")
    assert {name[0] for name in before if before[name] != after[name]} == {"b"}


def test_another_preparation_is_noticed(data: Path, tmp_path: Path) -> None:
    _prepare(find_entries(data), tmp_path / "store")
    wider = replace(_PREPARATION, hu_window=(-200.0, 340.0))
    assert prepare_store(find_entries(data), wider, _BOTH, tmp_path / "store") == 4


def test_a_damaged_case_is_prepared_again(data: Path, tmp_path: Path) -> None:
    _prepare(find_entries(data), tmp_path / "store")
    whole = _voxels(tmp_path / "store")
    (tmp_path / "store" / "c" / "image.b2nd").write_bytes(b"nothing")
    assert _prepare(find_entries(data), tmp_path / "store") == 1
    assert _voxels(tmp_path / "store") == whole


def test_another_subtype_needs_no_new_voxels(data: Path, tmp_path: Path) -> None:
    _prepare(find_entries(data), tmp_path / "store")
    (data / "subtypes.csv").write_text("case,subtype\na,2\nb,1\nc,2\nd,\n")
    (data / "annotation.csv").write_text("case,lesion\nd,unlabelled\n")
    assert _prepare(find_entries(data), tmp_path / "store") == 0
    cases = read_store(tmp_path / "store")
    assert [case.subtype for case in cases] == [2, 1, 2, None]
    assert [case.annotated for case in cases] == [(True, True)] * 3 + [(True, False)]


def test_structures_are_numbered_as_the_system_has_them(data: Path, tmp_path: Path) -> None:
    entries = find_entries(data)[:1]
    labels = []
    for number, structures in enumerate((_BOTH, ("pancreas",), ("lesion",))):
        _prepare(entries, tmp_path / str(number), structures)
        labels.append(np.asarray(read_store(tmp_path / str(number))[0].labels))
    both, organ, lesion = labels
    assert np.unique(both).tolist() == [0, 1, 2]
    # Interpolating between two structures may lose a voxel of their seam to the background.
    assert np.mean((both > 0) != (organ == 1)) < 0.005
    assert np.mean((both == 2) != (lesion == 1)) < 0.005


def test_a_case_that_cannot_be_read_is_named(data: Path, tmp_path: Path) -> None:
    entries = find_entries(data)
    entries[2].image.write_bytes(b"no image")
    for workers in (1, 2):
        with pytest.raises(StoreError) as caught:
            _prepare(entries, tmp_path / str(workers), workers=workers)
        assert caught.value.message.startswith("Case c cannot be prepared. The file is damaged")
        assert caught.value.remedy.endswith("'islet check' lists every broken case.")
        assert _no_rests(tmp_path / str(workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_cancelling_keeps_what_is_ready(data: Path, tmp_path: Path, workers: int) -> None:
    before = dict(os.environ)
    with pytest.raises(CancelledError):
        _prepare(find_entries(data), tmp_path / "store", workers=workers, on_progress=_cancel)
    num_ready = len(stored_ids(tmp_path / "store"))
    assert num_ready >= 2
    assert _no_rests(tmp_path / "store")
    assert dict(os.environ) == before
    assert _prepare(find_entries(data), tmp_path / "store") == 4 - num_ready


def test_a_full_disk_is_said_and_leaves_whole_cases(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = find_entries(data)
    _prepare(entries[:2], tmp_path / "store")

    def full(_array: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "write_chunked", full)
    with pytest.raises(StoreError) as caught:
        _prepare(entries, tmp_path / "store")
    assert caught.value.message == "The disk of the prepared cases is full."
    assert caught.value.remedy.startswith("Free some space, or name a store on another disk")
    monkeypatch.undo()
    assert stored_ids(tmp_path / "store") == ("a", "b")
    assert _no_rests(tmp_path / "store")
    assert _prepare(entries, tmp_path / "store") == 2


@pytest.fixture
def small_disk(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    is_root = sys.platform.startswith("linux") and os.geteuid() == 0
    if not is_root or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("Only root on Linux may mount a small disk.")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_really_fills_up_keeps_what_fitted(data: Path, small_disk: Path) -> None:
    entries = _many(data, 60)
    with pytest.raises(StoreError) as caught:
        _prepare(entries, small_disk / "store", workers=2)
    assert caught.value.message == "The disk of the prepared cases is full."
    ready = stored_ids(small_disk / "store")
    assert 0 < len(ready) < 60
    assert len(read_store(small_disk / "store")) == len(ready)
    assert _no_rests(small_disk / "store")


def test_a_folder_that_cannot_be_made_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        _prepare(find_entries(data), tmp_path / "file" / "store")
    assert caught.value.message.startswith("A case cannot be read, or the store")
    assert caught.value.remedy.startswith("Check that both folders exist")


def test_a_killed_worker_is_said_and_costs_only_its_case(data: Path, tmp_path: Path) -> None:
    entries = _many(data, 80)

    killed: list[psutil.Process] = []

    def kill_one(_stage: str, fraction: float) -> None:
        if fraction > 0 and not killed:
            killed.extend(
                child
                for child in psutil.Process().children()
                if any("spawn_main" in word for word in child.cmdline())
            )
            killed[-1].kill()

    with pytest.raises(StoreError) as caught:
        _prepare(entries, tmp_path / "store", workers=2, on_progress=kill_one)
    assert caught.value.message.startswith("A process that prepared cases was killed")
    assert caught.value.remedy.endswith("the cases that are ready are kept.")
    num_ready = len(stored_ids(tmp_path / "store"))
    assert 0 < num_ready < 80
    assert _no_rests(tmp_path / "store")
    assert _prepare(entries, tmp_path / "store") == 80 - num_ready


_PROGRAM = """
import sys
from pathlib import Path
from tests.engine.data.test_prepare_store import _many, _prepare
_prepare(_many(Path(sys.argv[1]), 400), Path(sys.argv[2]), workers=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL.")
def test_a_preparation_killed_at_any_moment_goes_on(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    program = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(data), str(folder)])
    children: list[psutil.Process] = []
    until = time.monotonic() + 60
    while len(stored_ids(folder)) < 5 and time.monotonic() < until:
        time.sleep(0.02)
    children = psutil.Process(program.pid).children()
    program.send_signal(signal.SIGKILL)
    program.wait()
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() for child in children)
    num_ready = len(stored_ids(folder))
    assert 5 <= num_ready < 400
    assert len(read_store(folder)) == num_ready
    few = _many(data, 400)[: num_ready + 5]
    assert _prepare(few, folder) <= 10
    assert _no_rests(folder)
    assert set(stored_ids(folder)) >= {entry.case_id for entry in few}


def test_systems_of_one_preparation_share_a_store(tmp_path: Path) -> None:
    one = default_store(tmp_path / "data", _PREPARATION, _BOTH)
    assert default_store(tmp_path / "data", replace(_PREPARATION), list(_BOTH)) == one
    others = {
        default_store(tmp_path / "other", _PREPARATION, _BOTH),
        default_store(tmp_path / "data", replace(_PREPARATION, hu_sd=90.0), _BOTH),
        default_store(tmp_path / "data", _PREPARATION, ("pancreas",)),
    }
    assert len(others | {one}) == 4
    assert one.parent.name == "prepared"
