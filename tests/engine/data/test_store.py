"""What is stored comes back, patch by patch, or is known to be damaged."""

from __future__ import annotations

import errno
import json
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.data import chunked, store
from engine.data.chunked import ChunkedArray, DamagedStoreError, write_chunked
from engine.data.prepare import prepare, prepare_labels
from engine.data.store import (
    MissingCaseError,
    describe_again,
    is_current,
    read_store,
    stored_ids,
    sweep,
    write_case,
)
from engine.system import Preparation
from tests.engine.data.tiny_dataset import tiny_case

_PREPARATION = Preparation((2.0, 1.5, 1.5), (-160.0, 340.0), hu_mean=50.0, hu_sd=100.0)
_FROM = {"version": 1, "sources": [[1, 2], [3, 4]]}


def _write(folder: Path, case_id: str = "a", num_structures: int = 2, **given) -> None:
    case = tiny_case("a", 1, 0)
    assert case.labels is not None
    write_case(
        folder,
        case_id,
        case.volume,
        case.labels,
        _PREPARATION,
        num_structures=num_structures,
        subtype=1,
        made_from=_FROM,
        **given,
    )


def test_a_stored_case_is_what_preparation_gives(tmp_path: Path) -> None:
    _write(tmp_path, annotated=(True, False))
    (stored,) = read_store(tmp_path)
    case = tiny_case("a", 1, 0)
    assert case.labels is not None
    image = prepare(case.volume, _PREPARATION).image.astype(np.float16)
    labels = prepare_labels(case.labels, _PREPARATION.spacing_mm, 3)
    assert np.array_equal(np.asarray(stored.image), image)
    assert np.array_equal(np.asarray(stored.labels), labels)
    assert stored.image.shape == image.shape
    assert (stored.case_id, stored.subtype, stored.annotated) == ("a", 1, (True, False))
    for value, positions in enumerate(stored.positions, start=1):
        assert len(positions) > 0
        assert np.all(labels[tuple(positions.T)] == value)


def test_a_system_without_lesions_sees_them_as_pancreas(tmp_path: Path) -> None:
    _write(tmp_path, num_structures=1)
    (stored,) = read_store(tmp_path)
    assert np.unique(np.asarray(stored.labels)).tolist() == [0, 1]
    assert stored.annotated == (True,)
    assert len(stored.positions) == 1


def test_reading_a_part_equals_slicing_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    whole = rng.normal(size=(70, 130, 65)).astype(np.float16)
    write_chunked(whole, tmp_path / "image.b2nd")
    array = ChunkedArray(tmp_path / "image.b2nd", whole.shape, whole.dtype)
    for _ in range(40):
        start = [int(rng.integers(n)) for n in whole.shape]
        part = tuple(slice(a, a + int(rng.integers(1, 60))) for a in start)
        assert np.array_equal(array[part], whole[part])
    assert np.array_equal(array[3], whole[3])
    assert (len(array), array.ndim) == (70, 3)


def test_many_threads_and_another_process_read_the_same_case(tmp_path: Path) -> None:
    _write(tmp_path)
    (stored,) = pickle.loads(pickle.dumps(read_store(tmp_path)))
    whole = np.asarray(stored.image)
    parts = [(slice(n % 12, n % 12 + 9), slice(n % 7, None), slice(3, 11)) for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: stored.image[part], parts))
    assert all(np.array_equal(each, whole[p]) for each, p in zip(found, parts, strict=True))


def test_opening_a_store_reads_no_voxel_and_holds_no_file_open(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("Only Linux lists a process's open files in /proc.")
    _write(tmp_path)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    cases = [read_store(tmp_path)[0] for _ in range(20)]
    for case in cases:
        case.image[0:2, 0:2, 0:2]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_cases_are_chosen_by_name_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for case_id in ("b", "a", "c"):
        _write(tmp_path, case_id)
    assert [case.case_id for case in read_store(tmp_path)] == ["a", "b", "c"]
    assert [case.case_id for case in read_store(tmp_path, ("c", "a"))] == ["c", "a"]
    with pytest.raises(MissingCaseError) as caught:
        read_store(tmp_path, ("a", "d"))
    assert caught.value.message == "The store of prepared cases holds no case d."
    assert caught.value.remedy == "Run 'islet prepare' for this data set and system."


def test_a_case_is_current_while_what_it_was_made_from_is_the_same(tmp_path: Path) -> None:
    assert not is_current(tmp_path, "a", _FROM)
    _write(tmp_path)
    assert is_current(tmp_path, "a", _FROM)
    assert not is_current(tmp_path, "a", {**_FROM, "version": 0})


def test_a_copied_store_is_as_good_as_the_original(tmp_path: Path) -> None:
    _write(tmp_path)
    for path in (tmp_path / "a").iterdir():
        os.utime(path, (1, 1))
    assert is_current(tmp_path, "a", _FROM)


@pytest.mark.parametrize("name", ["image.b2nd", "labels.b2nd", "positions.npy", "case.json"])
@pytest.mark.parametrize("how", ["cut short", "gone"])
def test_a_damaged_case_is_noticed(tmp_path: Path, name: str, how: str) -> None:
    _write(tmp_path)
    path = tmp_path / "a" / name
    content = path.read_bytes()
    path.unlink()
    if how == "cut short":
        path.write_bytes(content[:-9])
    assert not is_current(tmp_path, "a", _FROM)
    with pytest.raises(DamagedStoreError) as caught:
        read_store(tmp_path, ("a",))
    assert caught.value.message == "The prepared data of case a are damaged."
    assert caught.value.remedy.endswith("it prepares anew only what is damaged.")


def test_a_changed_byte_is_noticed_though_the_size_is_the_same(tmp_path: Path) -> None:
    _write(tmp_path)
    path = tmp_path / "a" / "image.b2nd"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    os.utime(path, (1, 1))
    assert not is_current(tmp_path, "a", _FROM)


def test_damage_that_only_reading_finds_is_repaired_by_the_next_preparation(tmp_path: Path) -> None:
    _write(tmp_path)
    path = tmp_path / "a" / "image.b2nd"
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert is_current(tmp_path, "a", _FROM), "size and time are those that were written"
    with pytest.raises(DamagedStoreError):
        np.asarray(read_store(tmp_path)[0].image)
    assert not is_current(tmp_path, "a", _FROM)


def test_reading_what_is_no_compressed_array_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "image.b2nd"
    path.write_bytes(b"x" * 500)
    with pytest.raises(DamagedStoreError):
        ChunkedArray(path, (4, 4, 4), np.dtype(np.float16))[0]
    write_chunked(np.zeros((4, 4, 5), np.float16), path)
    with pytest.raises(DamagedStoreError):
        ChunkedArray(path, (4, 4, 4), np.dtype(np.float16))[0]


def test_writing_again_replaces_a_case(tmp_path: Path) -> None:
    _write(tmp_path)
    _write(tmp_path, num_structures=1)
    (stored,) = read_store(tmp_path)
    assert len(stored.positions) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_subtype_leaves_the_voxels_alone(tmp_path: Path) -> None:
    _write(tmp_path)
    before = (tmp_path / "a" / "image.b2nd").stat().st_mtime_ns
    describe_again(tmp_path, "a", subtype=2, annotated=(True, False))
    (stored,) = read_store(tmp_path)
    assert (stored.subtype, stored.annotated) == (2, (True, False))
    assert (tmp_path / "a" / "image.b2nd").stat().st_mtime_ns == before
    assert is_current(tmp_path, "a", _FROM)


def test_a_full_disk_leaves_the_old_case_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)

    def full(_array: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_chunked", full)
    with pytest.raises(OSError, match="No space"):
        _write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert is_current(tmp_path, "a", _FROM)


def test_only_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    mine, gone = tmp_path / f".a.{os.getpid()}.part", tmp_path / ".b.c.999999999.part"
    mine.mkdir()
    gone.mkdir()
    sweep(tmp_path)
    assert mine.exists()
    assert not gone.exists()
    assert stored_ids(tmp_path) == ()


def test_without_mapped_files_the_same_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    mapped = np.asarray(read_store(tmp_path)[0].image)
    monkeypatch.setattr(chunked, "_MAPPING", None)
    assert np.array_equal(np.asarray(read_store(tmp_path)[0].image), mapped)


def test_what_a_case_says_of_itself_is_plain_json(tmp_path: Path) -> None:
    _write(tmp_path)
    facts = json.loads((tmp_path / "a" / "case.json").read_text())
    assert facts["made_from"] == _FROM
    assert set(facts["files"]) == {"image.b2nd", "labels.b2nd", "positions.npy"}
