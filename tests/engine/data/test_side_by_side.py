from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.data.prepare_store import StoreError
from engine.data.side_by_side import side_by_side, usual_workers
from engine.federated.sites import SitesError

_LONG_S = 60.0


def _square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def _fail(_: int) -> None:
    raise StoreError("The case is broken.", remedy="Leave it out.")


def _fail_otherwise(_: int) -> None:
    # An error of fewer arguments than its base takes
    raise SitesError("there are none")


def _sleep(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(_LONG_S)


def _be_killed(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_there_is_at_least_one_worker_and_at_most_one_for_a_core() -> None:
    assert 1 <= usual_workers() <= (os.cpu_count() or 1)
    assert usual_workers(1) == usual_workers(0) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_everything_is_done_once(workers: int) -> None:
    results = list(side_by_side(_square, range(9), workers))
    assert sorted(square for square, _ in results) == [n * n for n in range(9)]
    assert ({pid for _, pid in results} == {os.getpid()}) == (workers == 1)


def test_one_piece_of_work_needs_no_process() -> None:
    assert list(side_by_side(_square, [3], 8)) == [(9, os.getpid())]


def test_what_a_process_raises_arrives_as_it_was() -> None:
    with pytest.raises(StoreError) as caught:
        list(side_by_side(_fail, range(4), 2))
    assert caught.value.message == "The case is broken."
    assert caught.value.remedy == "Leave it out."
    with pytest.raises(SitesError) as other:
        list(side_by_side(_fail_otherwise, range(4), 2))
    assert str(other.value) == "The sites cannot be used: there are none."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL.")
def test_a_killed_process_is_said() -> None:
    with pytest.raises(BrokenProcessPool):
        list(side_by_side(_be_killed, range(4), 2))


class _InterruptedError(Exception):
    pass


def test_processes_end_in_the_middle_of_their_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_both_work(_: object) -> object:
        until = time.monotonic() + _LONG_S / 2
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        raise _InterruptedError

    # As Ctrl+C would come, while this process waits for the first result.
    monkeypatch.setattr("engine.data.side_by_side.as_completed", until_both_work)
    begun = time.monotonic()
    with (
        pytest.raises(_InterruptedError),
        closing(side_by_side(_sleep, [tmp_path] * 2, 2)) as done,
    ):
        next(done)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert time.monotonic() - begun < _LONG_S
