"""Run a network within the memory there is, and say how much was used."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from math import ceil, lcm
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from engine.data.prepare import Prepared
from engine.errors import IsletError
from engine.inference.outputs import Outputs, infer_case
from engine.inference.sliding_window import Shape
from engine.progress import OnProgress, ignore_progress

if TYPE_CHECKING:
    from engine.inference.model import Model

log = logging.getLogger(__name__)

_FLOAT_BYTES = 4
# ours: the widths of a U-Net's levels times what one level holds at once, measured on `starter`.
_ACTIVATIONS_PER_VOXEL = 256
# ours: a smaller window is a multiple of this even where the network would allow another.
_LEAST_STRIDE = 32


class NotEnoughMemoryError(IsletError):
    """No way of running the network fits the machine."""

    def __init__(self, *, needed_bytes: int) -> None:
        super().__init__(
            f"The analysis needs about {needed_bytes / 1e9:.1f} GB of memory, more than is free.",
            remedy="Close other programs, or analyse a shorter part of the scan.",
        )
        self.needed_bytes = needed_bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way of running a network.

    Args:
        patch_shape: (slices, rows, columns) of a window.
        device: Where it runs.
        precision: "fp32", "bf16" or "fp16".
    """

    patch_shape: Shape
    device: torch.device
    precision: str


def infer_within_memory(
    model: Model, prepared: Prepared, on_progress: OnProgress = ignore_progress
) -> NDArray[np.float32]:
    """Return the segmentation of `outputs_within_memory`.

    Returns:
        (K, D, H, W) probabilities on the prepared grid.

    Raises:
        NotEnoughMemoryError: If no way of running the network fits.
    """
    probabilities_KDHW = outputs_within_memory(model, prepared, on_progress).probabilities_KDHW
    assert probabilities_KDHW is not None, "the system segments"
    return probabilities_KDHW


def outputs_within_memory(
    model: Model, prepared: Prepared, on_progress: OnProgress = ignore_progress
) -> Outputs:
    """Return `infer_case` of the model; where memory runs out, with less of it.

    Tries the system's own window, then about half of it, then the CPU.

    Raises:
        NotEnoughMemoryError: If not even that fits.
    """
    system = model.system
    patch_shape, stride = system.inference.patch_shape, model.network.trunk.stage_strides[-1]
    for attempt in attempts(patch_shape, model.device, model.precision, stride):
        try:
            return infer_case(
                model.network.to(attempt.device),
                system,
                prepared.image,
                device=attempt.device,
                precision=attempt.precision,
                patch_shape=attempt.patch_shape,
                on_progress=on_progress,
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("Out of memory with %s", attempt)
            _release()
        finally:
            model.network.to(model.device)
    num_classes = len(system.structures) + 1
    raise NotEnoughMemoryError(
        needed_bytes=needed_bytes(prepared.image.shape, num_classes, patch_shape)
    )


def attempts(
    patch_shape: Shape, device: torch.device, precision: str, stride: Shape = (1, 1, 1)
) -> tuple[Attempt, ...]:
    """Return the ways to run, in order: as the system says, smaller windows, the CPU.

    Args:
        patch_shape: The system's own window.
        device: The model's own.
        precision: On that device.
        stride: Voxels that one of the network's deepest stage spans.
    """
    smaller = _smaller(patch_shape, stride)
    ladder = [Attempt(patch_shape, device, precision)]
    if smaller != patch_shape:
        ladder.append(Attempt(smaller, device, precision))
    if device.type != "cpu":
        ladder.append(Attempt(smaller, torch.device("cpu"), "fp32"))
    return tuple(ladder)


def needed_bytes(shape: tuple[int, ...], num_classes: int, patch_shape: Shape) -> int:
    """Predict the memory of one inference beyond the scan itself, in bytes.

    The image, one float32 per class and voxel, and the activations of one window.
    """
    voxels = int(np.prod(shape, dtype=np.int64))
    patch = int(np.prod(patch_shape, dtype=np.int64))
    return _FLOAT_BYTES * (voxels * (num_classes + 1) + patch * _ACTIVATIONS_PER_VOXEL)


def peak_memory_bytes() -> int:
    """Return the largest memory this process has held so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return int(largest if sys.platform == "darwin" else largest * 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # The CPU allocator has no error type of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _smaller(patch_shape: Shape, stride: Shape) -> Shape:
    """Return about half of a window, a multiple of the deepest stride along every axis."""
    sizes = [
        min(size, lcm(_LEAST_STRIDE, span) * ceil(size / 2 / lcm(_LEAST_STRIDE, span)))
        for size, span in zip(patch_shape, stride, strict=True)
    ]
    if all(size <= span for size, span in zip(sizes, stride, strict=True)):
        # Instance normalisation needs more than one voxel in the deepest stage.
        longest = patch_shape.index(max(patch_shape))
        sizes[longest] = patch_shape[longest]
    return sizes[0], sizes[1], sizes[2]


def _release() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
