"""Train in a run's folder, where whoever looks can see how it goes."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.archive.run_folder import (
    PLAN_FILE,
    RUN_FILE,
    SYSTEM_FILE,
    RunFolder,
    read_run_file,
    write_json,
)
from engine.errors import CancelledError, IsletError
from engine.inference.device import choose_device
from engine.inference.memory import is_out_of_memory
from engine.run import Plan, RunState
from engine.system_json import plan_to_json, system_to_json
from engine.training.checkpoint import FullDiskError
from engine.training.distributed import Group, joined
from engine.training.dry_run import DryRun
from engine.training.environment import environment
from engine.training.events import RunLog
from engine.training.follow import NOBODY, Follower
from engine.training.plan import with_patch
from engine.training.run_follower import RunFollower
from engine.training.train import Order, plans, rehearse, train_system

log = logging.getLogger(__name__)


class RanOutOfMemoryError(IsletError):
    """The memory did not suffice after all."""

    def __init__(self) -> None:
        super().__init__(
            "The training ran out of memory. Its last checkpoint is kept.",
            remedy="Close other programs and resume it, or start one of a smaller size.",
        )


def conduct(
    order: Order, args: Mapping[str, Any], *, resume: bool, follower: Follower = NOBODY
) -> Path:
    """Train `order` in its folder and return the weights file.

    Called by every process of a training; the first one writes the folder.

    Args:
        order: What to train.
        args: What the command line needs to begin again where this ends.
        resume: Whether the folder may hold this run already.
        follower: Hears what the folder is told, and may stop the training.

    Raises:
        IsletError: If it cannot go on, or was stopped; the folder says so too.
    """
    with joined(str(choose_device(order.device))) as (group, device):
        order = _with_agreed_patch(order, group)
        ready = plans(order)
        if not group.is_first:
            agreed = _agree(ready, None, group)
            return train_system(order, agreed, group=group, device=device)
        folder = _open(order, ready[-1], args, resume=resume)
        with _telling_how_it_ends(folder):
            write_json(folder.environment, environment())
            with RunLog(folder) as run:
                told = RunFollower(run, follower)
                rehearsed = rehearse(order)
                told.on_dry_run(rehearsed)
                agreed = _agree(ready, rehearsed, group)
                write_json(order.folder / PLAN_FILE, plan_to_json(agreed[-1]))
                return train_system(order, agreed, told, group, device)


def _with_agreed_patch(order: Order, group: Group) -> Order:
    """Take the first process's patch, which may depend on the memory that it found free."""
    slices, rows, columns = (group.agree(n) for n in order.system.training.patch_shape)
    shape = (slices, rows, columns)
    if shape == order.system.training.patch_shape:
        return order
    return replace(order, system=with_patch(order.system, shape))


def _agree(
    ready: tuple[Plan, ...], rehearsed: tuple[DryRun, ...] | None, group: Group
) -> tuple[Plan, ...]:
    """Take the first process's word for how many parts a batch has: free memory fluctuates."""
    own = ready if rehearsed is None else tuple(run.plan for run in rehearsed)
    return tuple(replace(plan, accumulation=group.agree(plan.accumulation)) for plan in own)


def _open(order: Order, plan: Plan, args: Mapping[str, Any], *, resume: bool) -> RunFolder:
    known = (order.folder / RUN_FILE).exists()
    if known and (resume or read_run_file(order.folder)["state"] == RunState.QUEUED):
        folder = RunFolder.reopen(order.folder)
        # A queued run was described by whoever queued it, before there was a plan.
        write_json(order.folder / SYSTEM_FILE, system_to_json(plan.system))
        return folder
    return RunFolder.create(order.folder, plan, data=order.data, args=args)


@contextmanager
def _telling_how_it_ends(folder: RunFolder) -> Iterator[None]:
    """Leave the run's state behind, whatever ends it."""
    settled = False
    try:
        with _as_sentences():
            yield
        folder.set_state(RunState.FINISHED)
        settled = True
    except CancelledError:
        folder.set_state(RunState.STOPPED)
        settled = True
        raise
    except IsletError as error:
        settled = True
        folder.set_state(RunState.FAILED, error.message, error.remedy)
        raise
    finally:
        if not settled:
            folder.set_state(
                RunState.FAILED,
                "Something unexpected ended the training.",
                "Its log says more; report it, and resume the run.",
            )


@contextmanager
def _as_sentences() -> Iterator[None]:
    """Say what the machine ran out of."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise RanOutOfMemoryError from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FullDiskError from error
        raise
