"""Fit a network's segmentation to a store of prepared cases."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.patches import draw_patch
from engine.data.store import StoredCase
from engine.errors import IsletError
from engine.networks.build import MultitaskNetwork, build
from engine.run import EpochRecord, Plan
from engine.training.augment import Augmentation, augment
from engine.training.losses import LOSSES, deeply_supervised

log = logging.getLogger(__name__)

_WARM_UP = 0.03  # ours: share of the steps over which the learning rate rises
_EMA_DECAY = 0.998  # ours: averages about the last 500 steps
_CLIP_NORM = 12.0  # nnU-Net
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

OnEpoch = Callable[[EpochRecord], None]
Cases = Callable[[], tuple[StoredCase, ...]]


class DivergedError(IsletError):
    """The loss of a training is no longer a number."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"The training diverged: the loss of step {step} is not a number.",
            remedy="Lower the learning rate or train in fp32, and resume from the last epoch.",
        )


@dataclass(slots=True, eq=False)
class _State:
    """What a training carries from step to step."""

    network: MultitaskNetwork
    average: MultitaskNetwork
    optimiser: torch.optim.Optimizer
    step: int = 0


def fit_segmentation(plan: Plan, cases: Cases, folder: Path, on_epoch: OnEpoch) -> MultitaskNetwork:
    """Train the trunk of `plan.system`, or go on where `folder` was left.

    Every step draws from a generator seeded with its own number, so a resumed training
    sees the same patches as an uninterrupted one.

    Args:
        plan: What to train, and how.
        cases: Asked at the start of every epoch.
        folder: Holds the checkpoint.
        on_epoch: Told about every finished epoch; to cancel, it raises.

    Returns:
        The exponential moving average of the weights, in evaluation mode.

    Raises:
        DivergedError: If the loss is no longer a number.
    """
    training = plan.system.training
    state = _start(plan)
    checkpoint = folder / f"{plan.system.name}.checkpoint.pt"
    if checkpoint.exists():
        _load(state, checkpoint)
    started = time.monotonic()
    for epoch in range(state.step // training.steps_per_epoch, training.epochs):
        stored = cases()
        losses = [_step(state, plan, stored) for _ in range(training.steps_per_epoch)]
        _save(state, checkpoint)
        mean = {"segmentation": float(np.mean(losses))}
        on_epoch(EpochRecord(epoch + 1, mean, {}, time.monotonic() - started))
    return state.average.eval()


def _start(plan: Plan) -> _State:
    torch.manual_seed(plan.seed)
    network = build(plan.system)
    params = dict(plan.system.training.optimiser.params)
    optimiser = torch.optim.AdamW(network.trunk.parameters(), **params)
    return _State(network.train(), copy.deepcopy(network), optimiser)


def _step(state: _State, plan: Plan, cases: tuple[StoredCase, ...]) -> float:
    training = plan.system.training
    image, labels = _batch(plan, cases, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = _learning_rate(plan, state.step)
    dtype = _DTYPES[plan.precision]
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        outputs = state.network.trunk(image)
    loss = deeply_supervised(LOSSES.get(training.losses[0].name), outputs, labels)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(state.step)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.trunk.parameters(), _CLIP_NORM)
    state.optimiser.step()
    state.step += 1
    _update_average(state)
    return value


def _batch(plan: Plan, cases: tuple[StoredCase, ...], step: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng((plan.seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for _ in range(plan.batch_size):
        share = plan.system.training.foreground_share
        patch, truth = draw_patch(cases, plan.patch_shape, share, rng)
        image, label = augment(
            torch.from_numpy(patch), torch.from_numpy(truth).long(), Augmentation(), generator
        )
        images.append(image)
        labels.append(label)
    return torch.stack(images)[:, None], torch.stack(labels)


def _learning_rate(plan: Plan, step: int) -> float:
    """Return a short linear rise followed by a cosine fall to zero."""
    training = plan.system.training
    total = training.epochs * training.steps_per_epoch
    warm_up = max(1, round(_WARM_UP * total))
    peak = float(training.optimiser.params["lr"])
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


@torch.no_grad()
def _update_average(state: _State) -> None:
    # Early on the average must follow quickly, or it would remember the random start.
    decay = min(_EMA_DECAY, (1 + state.step) / (10 + state.step))
    pairs = zip(state.average.parameters(), state.network.parameters(), strict=True)
    for average, current in pairs:
        average.lerp_(current, 1 - decay)


def _save(state: _State, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    content = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
    }
    torch.save(content, part)
    part.replace(path)


def _load(state: _State, path: Path) -> None:
    content = torch.load(path, weights_only=True)
    state.network.load_state_dict(content["network"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step = int(content["step"])
    log.info("Resumed at step %d", state.step)
