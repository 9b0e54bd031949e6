"""Prepared training cases on disk, read patch by patch.

A store is a folder, and a case of it a folder with the image and the labels in compressed
blocks, some positions of every structure, and `case.json`, which says what it was made from.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.data.chunked import ChunkedArray, DamagedStoreError, write_chunked
from engine.data.prepare import prepare, prepare_labels
from engine.errors import IsletError
from engine.system import Preparation
from engine.volume import LabelMap, Volume

log = logging.getLogger(__name__)

VERSION = 1
_MAX_POSITIONS = 20_000
_FACTS = "case.json"
_FILES = ("image.b2nd", "labels.b2nd", "positions.npy")


class MissingCaseError(IsletError):
    """A case that was asked for and is not in the store."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            f"The store of prepared cases holds no case {case_id}.",
            remedy="Run 'islet prepare' for this data set and system.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredCase:
    """One prepared case; the voxels stay on disk until a slice of them is asked for.

    Args:
        case_id: The case.
        image: (D, H, W) float16, normalised.
        labels: (D, H, W) uint8.
        positions: By label value from 1, some voxel indices (n, 3) that carry it.
        subtype: Lesion subtype, None for a healthy case.
        annotated: By label value from 1, whether a reader looked for the structure; empty
            stands for all of them.
    """

    case_id: str
    image: NDArray[np.float16] | ChunkedArray[np.float16]
    labels: NDArray[np.uint8] | ChunkedArray[np.uint8]
    positions: tuple[NDArray[np.int32], ...]
    subtype: int | None
    annotated: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.annotated:
            object.__setattr__(self, "annotated", (True,) * len(self.positions))


def write_case(
    folder: Path,
    case_id: str,
    volume: Volume,
    labels: LabelMap,
    preparation: Preparation,
    *,
    num_structures: int,
    subtype: int | None,
    annotated: tuple[bool, ...] = (),
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """Prepare one case and store it; a case is whole or absent.

    Args:
        folder: The store.
        case_id: Name of the case in the store.
        volume: The CT.
        labels: Its reference, label values up to 255.
        preparation: How to prepare it.
        num_structures: Label values from 1 that are kept; higher ones become the last.
        subtype: Lesion subtype, None for a healthy case.
        annotated: As in `StoredCase`.
        made_from: Says what the voxels were made from, as JSON; compared by `is_current`.

    Raises:
        OSError: If it cannot be written; nothing is left behind.
    """
    merged = np.minimum(labels.labels, num_structures).astype(np.uint8, copy=False)
    kept = LabelMap(merged, {}, labels.geometry)
    image = prepare(volume, preparation).image.astype(np.float16)
    truth = prepare_labels(kept, preparation.spacing_mm, num_structures + 1)
    positions = [_positions(truth, value) for value in range(1, num_structures + 1)]
    facts = {
        "shape": list(image.shape),
        "num_positions": [len(found) for found in positions],
        "subtype": subtype,
        "annotated": list(annotated or (True,) * num_structures),
        "made_from": dict(made_from or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{case_id}.{os.getpid()}.part"
    try:
        part.mkdir(exist_ok=True)
        write_chunked(image, part / "image.b2nd")
        write_chunked(truth, part / "labels.b2nd")
        np.save(part / "positions.npy", np.concatenate(positions), allow_pickle=False)
        facts |= {"files": {name: _stamp(part / name) for name in _FILES}}
        _write_json(part / _FACTS, facts)
        _replace(part, folder / case_id)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_store(folder: Path, case_ids: Sequence[str] | None = None) -> tuple[StoredCase, ...]:
    """Open the cases of a store without reading their voxels.

    Args:
        folder: The store.
        case_ids: Which cases, in the order wanted; None gives all, in the order of their names.

    Raises:
        MissingCaseError: If the store lacks a case.
        DamagedStoreError: If the files of a case are not what was written.
    """
    if case_ids is None:
        case_ids = stored_ids(folder)
    return tuple(_read_case(folder / case_id) for case_id in case_ids)


def stored_ids(folder: Path) -> tuple[str, ...]:
    """Return the cases of a store, in the order of their names."""
    return tuple(sorted(path.parent.name for path in folder.glob(f"[!.]*/{_FACTS}")))


def is_current(folder: Path, case_id: str, made_from: Mapping[str, Any]) -> bool:
    """Return whether a store holds a case whole and made from just this.

    Files whose size and time are still those written are trusted; others, e.g. of a store
    that was copied, are read whole and compared with their checksum.
    """
    path = folder / case_id
    try:
        facts = _read_facts(path)
        return facts["made_from"] == made_from and all(
            _is_intact(path / name, facts["files"][name]) for name in _FILES
        )
    except (OSError, KeyError, TypeError, DamagedStoreError):
        return False


def describe_again(
    folder: Path, case_id: str, *, subtype: int | None, annotated: tuple[bool, ...]
) -> None:
    """Update what is known about a stored case, where it changed; the voxels stay."""
    path = folder / case_id
    facts = _read_facts(path)
    wanted = {**facts, "subtype": subtype, "annotated": list(annotated)}
    if wanted != facts:
        part = path / f"{_FACTS}.part"
        _write_json(part, wanted)
        part.replace(path / _FACTS)


def sweep(folder: Path) -> None:
    """Remove what processes that are gone left half-written in a store."""
    for part in folder.glob(".*.part"):
        pid = part.name.split(".")[-2]
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            shutil.rmtree(part, ignore_errors=True)


def _read_case(path: Path) -> StoredCase:
    if not path.is_dir():
        raise MissingCaseError(path.name)
    facts = _read_facts(path)
    try:
        sizes = [(path / name).stat().st_size for name in _FILES]
        if sizes != [facts["files"][name]["size"] for name in _FILES]:
            raise ValueError("a file was cut short")
        every = np.load(path / "positions.npy", allow_pickle=False)
        ends = np.cumsum(facts["num_positions"])[:-1]
        shape = tuple(facts["shape"])
        return StoredCase(
            case_id=path.name,
            image=ChunkedArray(path / "image.b2nd", shape, np.dtype(np.float16)),
            labels=ChunkedArray(path / "labels.b2nd", shape, np.dtype(np.uint8)),
            positions=tuple(np.split(every, ends)),
            subtype=facts["subtype"],
            annotated=tuple(facts["annotated"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedStoreError(path.name) from error


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedStoreError(path.name) from error
    if not isinstance(facts, dict):
        raise DamagedStoreError(path.name)
    return cast("dict[str, Any]", facts)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


def _stamp(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"size": stat.st_size, "time_ns": stat.st_mtime_ns, "crc32": _checksum(path)}


def _is_intact(path: Path, stamp: Mapping[str, int]) -> bool:
    stat = path.stat()
    if stat.st_size != stamp["size"]:
        return False
    return stat.st_mtime_ns == stamp["time_ns"] or _checksum(path) == stamp["crc32"]


def _checksum(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def _replace(part: Path, path: Path) -> None:
    """Move a whole case into its place, also where an outdated one is."""
    aside = part.with_name(f".{path.name}-old.{os.getpid()}.part")
    with suppress(FileNotFoundError):
        # Aside in one move: whoever looks finds the old case, none, or the new one.
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        part.rename(path)
    except OSError:
        # Another process that prepares the same data set may have been faster.
        if not path.is_dir():
            raise


def _positions(labels: NDArray[np.uint8], value: int) -> NDArray[np.int32]:
    found = np.argwhere(labels == value).astype(np.int32)
    every = max(1, len(found) // _MAX_POSITIONS)
    return found[::every]
