"""Turn gradients into steps: optimisers, learning-rate schedules, moving averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from engine.networks.build import MultitaskNetwork
from engine.registry import Registry
from engine.system import Part

_PEAK = "peak_lr"


def _sgd(groups: list[dict[str, Any]], *, momentum: float = 0.99, **params: Any) -> Any:
    return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, **params)


OPTIMISERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimiser")
"""By name: make an optimiser from (parameter groups, **params)."""
OPTIMISERS.add("sgd", _sgd)
OPTIMISERS.add("adam", torch.optim.Adam)
OPTIMISERS.add("adamw", torch.optim.AdamW)

SCHEDULES: Registry[Callable[..., float]] = Registry("schedule")
"""By name: give the share of the peak learning rate from (step, total, **params)."""


def make_optimiser(network: MultitaskNetwork, part: Part) -> torch.optim.Optimizer:
    """Return the optimiser of every parameter of `network` that wants a gradient.

    Args:
        network: Whose trunk, and heads, are trained.
        part: Looked up in OPTIMISERS; its `lr` is the peak, and `head_lr`, where given, that of
            the heads beside segmentation.

    Raises:
        UnknownNameError: If there is no such optimiser.
    """
    params = dict(part.params)
    peak = float(params.pop("lr"))
    head_peak = float(params.pop("head_lr", peak))
    heads = _trainable(network.heads.parameters())
    in_heads = {id(parameter) for parameter in heads}
    others = [one for one in _trainable(network.parameters()) if id(one) not in in_heads]
    groups = [
        {"params": members, "lr": lr, _PEAK: lr}
        for members, lr in ((others, peak), (heads, head_peak))
        if members
    ]
    return OPTIMISERS.get(part.name)(groups, **params)


def rate(part: Part, step: int, total: int) -> float:
    """Return the learning rate of a step as a share of the peak, 0 to 1.

    Args:
        part: Looked up in SCHEDULES.
        step: Counted from 0.
        total: Steps of the whole training.

    Raises:
        UnknownNameError: If there is no such schedule.
    """
    return SCHEDULES.get(part.name)(step, total, **part.params)


def set_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate of every group to `share` of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = share * group[_PEAK]


@SCHEDULES.register("cosine")
def cosine(step: int, total: int, *, warm_up: float = 0.0, floor: float = 0.0) -> float:
    """Rise linearly over the share `warm_up` of the steps, then fall like a cosine to `floor`."""
    rising = max(1, round(warm_up * total)) if warm_up > 0 else 0
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


@SCHEDULES.register("poly")
def poly(step: int, total: int, *, power: float = 0.9) -> float:
    """Fall to zero like a power of the share of steps that is left (nnU-Net)."""
    return (1 - step / total) ** power


@SCHEDULES.register("constant")
def constant(step: int, total: int) -> float:
    """Stay at the peak."""
    return 1.0


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the average of the weights towards `network`; buffers are copied.

    Args:
        average: Changed in place.
        network: As it is after `step` steps.
        step: Counted from 1.
        decay: Share of the average that stays, once it has settled.
    """
    # Early on the average must follow quickly, or it would remember the random start.
    kept = min(decay, (1 + step) / (10 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - kept)
    for mean, current in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(current)


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
