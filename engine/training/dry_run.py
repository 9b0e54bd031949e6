"""Predict what a training needs before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.errors import IsletError
from engine.inference.device import autocast
from engine.networks.build import build
from engine.run import Plan
from engine.system import System
from engine.training.loader import STEPS_AHEAD

# ours: peak over what autograd keeps, measured on resenc and unet; convolutions on a CPU reorder.
_OVERHEAD = {"cpu": 2.5, "cuda": 1.6}
# ours: weights, gradients, two moments of Adam and the moving average.
_BYTES_PER_PARAMETER = 20
_BYTES_PER_VOXEL = 4 + 8  # image and labels
_WORKSPACE_BYTES = 64_000_000  # ours: of the libraries of a graphics card, seen on an H100
_PROGRAM_BYTES = 500_000_000  # ours: torch and its kin, loaded
_KEEP_FREE = 0.9


class PlanTooLargeError(IsletError):
    """A training that does not fit the machine."""

    def __init__(self, needed_bytes: int, free_bytes: int, device: str) -> None:
        where = "this computer" if device == "cpu" else device
        super().__init__(
            f"This training needs about {needed_bytes / 1e9:.1f} GB of memory; "
            f"{where} has {free_bytes / 1e9:.1f} GB free.",
            remedy="Choose a smaller size or another device, or close other programs.",
        )


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a plan needs, and what there is.

    Args:
        plan: That would be trained; its batch is computed in as many parts as it takes.
        num_parameters: Of the network.
        needed_bytes: Largest memory of all processes of this machine together.
        free_bytes: That is free now.
    """

    plan: Plan
    num_parameters: int
    needed_bytes: int
    free_bytes: int

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        plan = self.plan
        parts = f", computed in {plan.accumulation} parts" if plan.accumulation > 1 else ""
        size = " × ".join(str(length) for length in plan.patch_shape)
        patches = "1 patch" if plan.batch_size == 1 else f"{plan.batch_size} patches"
        return (
            f"{self.num_parameters:,} parameters, {patches} of {size} voxels per "
            f"step{parts}: about {self.needed_bytes / 1e9:.1f} GB of memory, "
            f"{self.free_bytes / 1e9:.1f} GB are free."
        )


def dry_run(plan: Plan) -> DryRun:
    """Predict the memory of `plan` without allocating any.

    Where it does not fit, the batch is computed in more and smaller parts, which changes memory
    and speed but not the result.

    Raises:
        PlanTooLargeError: If not even one patch at a time fits.
    """
    free = _free_bytes(plan.device)
    largest = -(-plan.batch_size // plan.num_devices)
    most_parts = largest // 2 if _normalises_over_batch(plan.system) else largest
    activations, num_parameters = _kept_bytes(plan)
    kind = plan.device.partition(":")[0]
    loaded = _loaded_bytes(plan)
    # Whatever computes, patches are loaded into the computer's own memory, a whole batch at once.
    if loaded > _KEEP_FREE * _free_bytes("cpu"):
        raise PlanTooLargeError(loaded, _free_bytes("cpu"), "cpu")

    def needed(parts: int) -> int:
        samples = -(-largest // parts)
        own = _OVERHEAD[kind] * activations * samples + _BYTES_PER_PARAMETER * num_parameters
        if kind != "cpu":
            return round(own) + _WORKSPACE_BYTES
        return round(plan.num_devices * (own + _PROGRAM_BYTES)) + loaded

    parts = max(1, min(plan.accumulation, most_parts))
    while needed(parts) > _KEEP_FREE * free and parts < most_parts:
        parts += 1
    if needed(parts) > _KEEP_FREE * free:
        raise PlanTooLargeError(needed(parts), free, plan.device)
    fitted = replace(plan, accumulation=parts)
    return DryRun(fitted, num_parameters, needed(parts), free)


def _loaded_bytes(plan: Plan) -> int:
    """Return what the patches of this step and of those that are loaded ahead take."""
    return (STEPS_AHEAD + 1) * plan.batch_size * math.prod(plan.patch_shape) * _BYTES_PER_VOXEL


def _normalises_over_batch(system: System) -> bool:
    """Say whether a part of a batch must hold two patches at least."""
    return any(head.params.get("norm") == "batch" for head in system.heads)


def _kept_bytes(plan: Plan) -> tuple[int, int]:
    """Return what autograd keeps of one sample, in bytes, and the number of parameters."""
    # Some networks ask for values while they are built, which a mode without values has not.
    with torch.device("meta"):
        network = build(plan.system).train()
    with FakeTensorMode():
        _bring_to_cpu(network)
        parameters = list(network.parameters())
        own = {parameter.untyped_storage()._cdata for parameter in parameters}
        # Two samples: the batch normalisation of the paper's subtype head refuses a single one.
        image = torch.empty(2, 1, *plan.patch_shape)
        with _counting() as kept, autocast(torch.device("cpu"), _cpu_precision(plan)):
            outputs = network.outputs(image)
        total = sum(size for key, (_, size) in kept.items() if key not in own)
        del outputs
    return total // 2, sum(parameter.numel() for parameter in parameters)


def _bring_to_cpu(network: nn.Module) -> None:
    """Exchange every tensor of `network` for one that is said to be on the CPU."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


@contextmanager
def _counting() -> Iterator[dict[int, tuple[Any, int]]]:
    kept: dict[int, tuple[Any, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # The storage itself is held, or its place would be given to another one.
        kept[storage._cdata] = (storage, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def _cpu_precision(plan: Plan) -> str:
    # Half of either kind has the same size, and a CPU knows the one.
    return "fp32" if plan.precision == "fp32" else "bf16"


def _free_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return int(psutil.virtual_memory().available)
