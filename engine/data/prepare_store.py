"""Prepare the cases of a data set side by side, once for every system that asks for the same."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import psutil

from engine.data.datasets import Entry
from engine.data.label_names import STRUCTURES
from engine.data.store import VERSION, describe_again, is_current, sweep, write_case
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress
from engine.system import Preparation
from engine.volume import LabelMap

log = logging.getLogger(__name__)

# ours: a CT of 1000 slices, as it is read and once more as it is resampled
_BYTES_PER_WORKER = 3 << 30
_OF_WORKERS = {
    # There is a process for every core already.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "VECLIB_MAXIMUM_THREADS": "1",
    # Python's own helper would complain on the terminal after Ctrl+C.
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}


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


def usual_workers() -> int:
    """Return how many processes the machine's cores and free memory are good for."""
    by_memory = psutil.virtual_memory().available // _BYTES_PER_WORKER
    return max(1, min(os.cpu_count() or 1, int(by_memory)))


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
    runs = _in_processes(missing, workers) if workers > 1 and len(missing) > 1 else _here(missing)
    try:
        for error in runs:
            if error is not None:
                raise StoreError(error[0], remedy=error[1])
            num_done += 1
            on_progress("prepare", num_done / len(works))
    finally:
        runs.close()
        sweep(folder)
    on_progress("prepare", 1.0)
    return len(missing)


# Errors travel between processes as (message, remedy): most cannot be pickled.
_Failure = tuple[str, str] | None


def _here(works: Sequence[_Work]) -> Generator[_Failure, None, None]:
    for work in works:
        yield _prepare_one(work)


def _in_processes(works: Sequence[_Work], workers: int) -> Generator[_Failure, None, None]:
    # Spawned: forking a process that has threads, as a trainer has, may lock up.
    with _environment_of_workers():
        pool = ProcessPoolExecutor(
            max_workers=min(workers, len(works)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        futures: list[Future[_Failure]] = [pool.submit(_prepare_one, work) for work in works]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise StoreError(
            "A process that prepared cases was killed, perhaps because the memory was full.",
            remedy="Prepare again with fewer workers; the cases that are ready are kept.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_one(work: _Work) -> _Failure:
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
        failure = _sentence(error)
        return failure.message, failure.remedy
    except IsletError as error:
        message = f"Case {entry.case_id} cannot be prepared. {error.message}"
        return message, f"{error.remedy} 'islet check' lists every broken case."
    return None


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


@contextmanager
def _environment_of_workers() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _OF_WORKERS}
    os.environ.update(_OF_WORKERS)
    # Blocked in this thread, and so in what it starts: a worker that Ctrl+C ended would be heard
    # of before Ctrl+C is.
    masks = hasattr(signal, "pthread_sigmask")
    if masks:
        # Begun later, while the first worker is made, it would take the block away again.
        resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    # Ctrl+C reaches the workers too: they end with their parent, which says a word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody would take the result; what is half-written is swept by the next preparation.
        os._exit(1)
