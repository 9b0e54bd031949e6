"""Do many independent pieces of work in processes side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TypeVar

import psutil

W = TypeVar("W")
R = TypeVar("R")

# ours: a CT of 1000 slices, as it is read and once more as it is resampled
_BYTES_PER_WORKER = 3 << 30
_OF_WORKERS = {
    # There is a process for every core already.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "VECLIB_MAXIMUM_THREADS": "1",
    # Python's own helper would complain on the terminal after Ctrl+C.
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}


def usual_workers(most: int | None = None) -> int:
    """Return how many processes the machine's cores and free memory are good for.

    Args:
        most: That the work is worth; None for any number.
    """
    by_memory = psutil.virtual_memory().available // _BYTES_PER_WORKER
    num_cores = os.cpu_count() or 1
    return max(1, min(num_cores, int(by_memory), num_cores if most is None else most))


def side_by_side(
    do: Callable[[W], R], works: Sequence[W], workers: int
) -> Generator[R, None, None]:
    """Yield what `do` returns for each piece of work, as soon as it is there.

    Closed before its end, or left by an exception, it ends the processes at once.

    Args:
        do: A function of a module, as other processes have to find it.
        works: Each with everything that `do` needs to know.
        workers: Processes; with one, or for one piece of work, this process does it, in order.

    Raises:
        BrokenProcessPool: If a process was killed; else whatever `do` raised.
    """
    if workers <= 1 or len(works) <= 1:
        for work in works:
            yield do(work)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may lock up
    ear, mouth = context.Pipe(duplex=False)
    with _environment_of_workers():
        pool = ProcessPoolExecutor(
            max_workers=min(workers, len(works)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(ear,),
        )
        futures = [pool.submit(do, work) for work in works]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        # All is done, or nobody wants what is under way.
        mouth.close()
        pool.shutdown(wait=True, cancel_futures=True)
        ear.close()


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


def _start_worker(ear: Connection) -> None:
    # Ctrl+C reaches the workers too: they end with their parent, which says a word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_when_told, args=(ear,), daemon=True).start()


def _end_when_told(ear: Connection) -> None:
    """End this process, in the middle of its work, when nobody would take the result.

    Nothing is ever said: the other end closes, also where its process is killed.
    """
    try:
        ear.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
