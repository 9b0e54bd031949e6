"""Prepared training cases on disk, read patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.prepare import prepare, prepare_labels
from engine.system import Preparation
from engine.volume import LabelMap, Volume

_NO_CLASS = 255
_MAX_POSITIONS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class StoredCase:
    """One prepared case, memory-mapped.

    Args:
        case_id: The case.
        image: (D, H, W) float16, normalised.
        labels: (D, H, W) uint8.
        positions: By label value from 1, some voxel indices (n, 3) that carry it.
        subtype: Lesion subtype, None for a healthy case.
    """

    case_id: str
    image: NDArray[np.float16]
    labels: NDArray[np.uint8]
    positions: tuple[NDArray[np.int32], ...]
    subtype: int | None


def write_case(
    folder: Path,
    case_id: str,
    volume: Volume,
    labels: LabelMap,
    preparation: Preparation,
    *,
    num_structures: int,
    subtype: int | None,
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
    """
    folder.mkdir(parents=True, exist_ok=True)
    merged = np.minimum(labels.labels, num_structures)
    names = {value: labels.names[value] for value in range(1, num_structures + 1)}
    kept = LabelMap(merged, names, labels.geometry)
    prepared = prepare(volume, preparation)
    truth = prepare_labels(kept, preparation.spacing_mm, num_structures + 1)
    positions = [_positions(truth, value) for value in range(1, num_structures + 1)]
    part = folder / f"{case_id}.part.npz"
    arrays: dict[str, NDArray[Any]] = {
        f"positions_{value}": found for value, found in enumerate(positions, start=1)
    }
    arrays["image"] = prepared.image.astype(np.float16)
    arrays["labels"] = truth
    arrays["subtype"] = np.array(_NO_CLASS if subtype is None else subtype, np.uint8)
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(folder / f"{case_id}.npz")


def read_store(folder: Path) -> tuple[StoredCase, ...]:
    """Read every case of a store into memory, in the order of their names."""
    return tuple(
        _read_case(path)
        for path in sorted(folder.glob("*.npz"))
        if not path.name.endswith(".part.npz")
    )


def _read_case(path: Path) -> StoredCase:
    with np.load(path, allow_pickle=False) as file:
        subtype = int(file["subtype"])
        positions = [file[name] for name in sorted(file.files) if name.startswith("positions_")]
        return StoredCase(
            case_id=path.stem,
            image=file["image"],
            labels=file["labels"],
            positions=tuple(positions),
            subtype=None if subtype == _NO_CLASS else subtype,
        )


def _positions(labels: NDArray[np.uint8], value: int) -> NDArray[np.int32]:
    found = np.argwhere(labels == value).astype(np.int32)
    every = max(1, len(found) // _MAX_POSITIONS)
    return found[::every]
