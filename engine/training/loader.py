"""Load the patches of the next steps while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from engine.training.augment import Augmentation
from engine.training.sample import Sample, Sampler

STEPS_AHEAD = 3  # ours: hides a slow read, and holds few patches
_CPU = torch.device("cpu")


class Loader:
    """Draws patches in threads, in order; decompression and torch let go of the interpreter.

    Args:
        sampler: Draws a patch.
        numbers: Which patches of every batch to draw.
        recipe: How to change them in the threads; None leaves that to whoever asked.
        num_threads: That draw.
    """

    def __init__(
        self,
        sampler: Sampler,
        numbers: tuple[int, ...],
        recipe: Augmentation | None,
        num_threads: int,
    ) -> None:
        self._sampler = sampler
        self._numbers = numbers
        self._recipe = recipe
        self._num_threads = num_threads

    def steps(self, first: int, last: int) -> Iterator[list[Sample]]:
        """Give the samples of step `first` up to, not including, step `last`."""
        pool = ThreadPoolExecutor(self._num_threads, initializer=_compute_alone)
        ahead: deque[list[Future[Sample]]] = deque()
        step = first
        try:
            while step < last or ahead:
                while step < last and len(ahead) < STEPS_AHEAD:
                    ahead.append([pool.submit(self._draw, step, n) for n in self._numbers])
                    step += 1
                yield [future.result() for future in ahead.popleft()]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _draw(self, step: int, number: int) -> Sample:
        sample = self._sampler.draw(step, number)
        return sample if self._recipe is None else sample.changed(self._recipe, _CPU)


def _compute_alone() -> None:
    # A thread that spreads one patch over all cores would take them from the network.
    torch.set_num_threads(1)
