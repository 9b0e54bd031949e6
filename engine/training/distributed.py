"""Let several processes share every batch.

The processes are started by torchrun. Gradients are averaged in one exchange per optimiser step
rather than by DistributedDataParallel, whose hooks know neither gradient accumulation over heads
nor the per-task gradients that GradNorm and MGDA ask for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from engine.errors import IsletError

# ours: rank 0 prepares and validates alone while the others wait.
_PATIENCE = timedelta(hours=12)


class ProcessesEndedError(IsletError):
    """One of several training processes is gone."""

    def __init__(self, num_processes: int) -> None:
        super().__init__(
            f"One of the {num_processes} training processes ended unexpectedly.",
            remedy="It may have been killed or run out of memory. Resume the run with --resume; "
            "at most two minutes of training are lost.",
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of one training.

    Args:
        rank: Number of this process; 0 writes and reports.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, num_samples: int) -> tuple[int, ...]:
        """Return which samples of a batch this process computes."""
        return tuple(range(self.rank, num_samples, self.size))

    def average(self, value: Tensor) -> Tensor:
        """Return the mean of `value` over all processes; may raise ProcessesEndedError."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        with self._together():
            distributed.all_reduce(total)
        return total / self.size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes; a missing one counts as zero."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        flat = self.average(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, number: int) -> int:
        """Return what the first process says; may raise ProcessesEndedError."""
        if self.size == 1:
            return number
        told = torch.tensor([number if self.is_first else 0])
        if distributed.get_backend() == "nccl":
            told = told.cuda()
        with self._together():
            distributed.broadcast(told, src=0)
        return int(told.item())

    def wait(self) -> None:
        """Wait until every process is here."""
        self.agree(0)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            # All that an exchange of whole tensors can die of is the other side.
            raise ProcessesEndedError(self.size) from error


ALONE = Group()


def is_member() -> bool:
    """Say whether torchrun started this process."""
    return "WORLD_SIZE" in os.environ and "LOCAL_RANK" in os.environ


@contextmanager
def joined(device: str) -> Iterator[tuple[Group, str]]:
    """Join the other processes; gives the group and the device of this one.

    Args:
        device: "cpu", or "cuda:N" of the first process; the others take the next ones.
    """
    if not is_member():
        yield ALONE, device
        return
    on_cuda = device.startswith("cuda")
    distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=_PATIENCE)
    group = Group(distributed.get_rank(), distributed.get_world_size())
    if on_cuda:
        first = int(device.partition(":")[2] or 0)
        device = f"cuda:{first + int(os.environ['LOCAL_RANK'])}"
        torch.cuda.set_device(device)
    try:
        yield group, device
    finally:
        distributed.destroy_process_group()
