"""Prepare the cases of a data set side by side, once for every system that asks for the same."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from engine.data.datasets import Entry
from engine.data.label_names import STRUCTURES
from engine.data.side_by_side import side_by_side, usual_workers
from engine.data.store import VERSION, describe_again, is_current, sweep, write_case
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress
from engine.system import Preparation
from engine.volume import LabelMap

log = logging.getLogger(__name__)

_CASES_PER_WORKER = 10  # ours: starting a process costs as much as preparing some cases


class StoreError(IsletError):
    """Preparation stopped; the cases prepared so far are whole and stay."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One case to prepare, as a worker process is told of it."""

    entry: Entry
    preparation: Preparation
    structures: tuple[str, ...]
    folder: Path

    @property
    def made_from(self) -> dict[str, Any]:
        """Everything that the stored voxels depend on."""
        stats = [path.stat() for path in (self.entry.image, self.entry.labels)]
        made_from = {
            "version": VERSION,
            "preparation": asdict(self.preparation),
            "structures": self.structures,
            "values": self.entry.values,
            "sources": [(stat.st_size, stat.st_mtime_ns) for stat in stats],
        }
        # As it comes back from a file: lists, no tuples.
        return json.loads(json.dumps(made_from))

    @property
    def annotated(self) -> tuple[bool, ...]:
        """By structure, whether a reader looked for it."""
        return tuple(structure in self.entry.annotated for structure in self.structures)


def default_store(data: Path, preparation: Preparation, structures: Sequence[str]) -> Path:
    """Return where the prepared cases of a data set lie unless told otherwise.

    Systems of the same preparation and structures share one store; it is in the user's cache, so
    that it may be deleted at any time.
    """
    key = [VERSION, str(data.resolve()), asdict(preparation), list(structures)]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("islet") / "prepared" / digest


def workers_for(num_cases: int) -> int:
    """Return in how many processes so many cases are best prepared."""
    return usual_workers(num_cases // _CASES_PER_WORKER)


def prepare_store(
    entries: Sequence[Entry],
    preparation: Preparation,
    structures: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> int:
    """Prepare what the store lacks, what its source changed since, and what is damaged.

    May be interrupted at any moment, and called again.

    Args:
        entries: The cases to have in the store; others in it stay.
        preparation: How to prepare them.
        structures: What to label: 1 the first, 2 the second. Where there is no lesion among
            them, lesions are pancreas.
        folder: The store; made where it does not exist.
        workers: Processes; 1 prepares in this one.
        on_progress: Told ("prepare", fraction of the cases); to cancel, it raises.

    Returns:
        How many cases were prepared.

    Raises:
        StoreError: If a case cannot be read, the disk is full, or a worker process was killed.
    """
    works = [_Work(entry, preparation, tuple(structures), folder) for entry in entries]
    on_progress("prepare", 0.0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        missing = [work for work in works if not _is_done(work)]
    except OSError as error:
        raise _sentence(error) from error
    log.info("%d of %d cases to prepare", len(missing), len(works))
    num_done = len(works) - len(missing)
    try:
        with closing(side_by_side(_prepare_one, missing, workers)) as prepared:
            for _ in prepared:
                num_done += 1
                on_progress("prepare", num_done / len(works))
    except BrokenProcessPool as error:
        raise StoreError(
            "A process that prepared cases was killed, perhaps because the memory was full.",
            remedy="Prepare again with fewer workers; the cases that are ready are kept.",
        ) from error
    finally:
        sweep(folder)
    on_progress("prepare", 1.0)
    return len(missing)


def _prepare_one(work: _Work) -> None:
    entry = work.entry
    try:
        case = entry.read()
        assert case.labels is not None, "an entry has labels"
        write_case(
            work.folder,
            entry.case_id,
            case.volume,
            _only(case.labels, work.structures),
            work.preparation,
            num_structures=len(work.structures),
            subtype=entry.subtype,
            annotated=work.annotated,
            made_from=work.made_from,
        )
    except OSError as error:
        raise _sentence(error) from error
    except IsletError as error:
        raise StoreError(
            f"Case {entry.case_id} cannot be prepared. {error.message}",
            remedy=f"{error.remedy} 'islet check' lists every broken case.",
        ) from error


def _only(labels: LabelMap, structures: tuple[str, ...]) -> LabelMap:
    """Number the structures from 1 in their order; a lesion that is none of them is pancreas."""
    table = np.zeros(256, np.uint8)
    for value, name in enumerate(STRUCTURES, start=1):
        kept = name if name in structures else STRUCTURES[0]
        table[value] = structures.index(kept) + 1 if kept in structures else 0
    return LabelMap(table[labels.labels], {}, labels.geometry)


def _is_done(work: _Work) -> bool:
    if not is_current(work.folder, work.entry.case_id, work.made_from):
        return False
    describe_again(
        work.folder, work.entry.case_id, subtype=work.entry.subtype, annotated=work.annotated
    )
    return True


def _sentence(error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "The disk of the prepared cases is full.",
            remedy="Free some space, or name a store on another disk; finished cases are kept.",
        )
    return StoreError(
        "A case cannot be read, or the store of prepared cases cannot be written.",
        remedy="Check that both folders exist and that you may read and write them.",
    )
