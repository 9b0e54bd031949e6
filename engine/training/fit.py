"""Fit every jointly trained head of a system to prepared cases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import torch
from torch import Tensor

from engine.errors import CancelledError, IsletError
from engine.inference.device import autocast
from engine.inference.memory import peak_memory_bytes
from engine.networks.build import JOINT_SUBTYPE, MultitaskNetwork, joint_heads
from engine.run import EpochRecord, Plan
from engine.training.alarms import ClassifierWatch, check_finite
from engine.training.augment import Augmentation
from engine.training.batch import Batch
from engine.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from engine.training.distributed import ALONE, Group
from engine.training.follow import NOBODY, Follower, StepRecord
from engine.training.loader import Loader
from engine.training.losses import LOSSES
from engine.training.objective import PLAIN, Objective
from engine.training.optimise import rate, set_rate, update_average
from engine.training.sample import Sample, Sampler
from engine.training.state import State, start

log = logging.getLogger(__name__)

_CLIP_NORM = 12.0  # nnU-Net
_SAVE_EVERY_S = 120.0  # ours: what a kill costs at most, beside a step
_PAUSE_LOOK_S = 0.2
_WISHES = ("run", "pause", "stop")
# ours: before that share of its epochs every classifier guesses.
_ALARMS_FROM = 0.25

Validate = Callable[[MultitaskNetwork, int], dict[str, float]]
"""Called with the network, in evaluation mode, and the number of the epoch; gives the scores."""


class StoppedError(CancelledError):
    """The training was asked to stop; its checkpoint is written."""

    def __init__(self) -> None:
        IsletError.__init__(
            self,
            "The training was stopped. Its checkpoint is kept.",
            remedy="Go on with the run by --resume.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """Everything one fit needs beside its plan.

    Args:
        plan: What to train, and how.
        sampler: Draws its patches.
        checkpoint: The file that makes it resumable.
        follower: Hears of every step.
        validate: Scores the network after an epoch; None where nothing is held back.
        group: The processes that share every batch.
        validate_every: Epochs between validations; the last epoch is always validated.
        num_threads: That load patches.
        objective: Changes the gradient of every step; remembered in the checkpoint.
        until_epoch: After which to leave for now, with a checkpoint; the schedule is still that
            of the whole plan. None trains to the end; 0 takes the weights of the checkpoint.
    """

    plan: Plan
    sampler: Sampler
    checkpoint: Path
    follower: Follower = NOBODY
    validate: Validate | None = None
    group: Group = ALONE
    validate_every: int = 1
    num_threads: int = 1
    objective: Objective = PLAIN
    until_epoch: int | None = None


def fit(fitting: Fitting) -> MultitaskNetwork:
    """Train the joint heads of `plan.system`, or go on where its checkpoint was left.

    Every patch draws from a generator seeded with its own number, so a resumed training ends at
    the weights of an uninterrupted one.

    Returns:
        The network to keep: the moving average where the system asks for one; evaluation mode.

    Raises:
        StoppedError: If the follower wants to stop; the checkpoint is up to date then.
        DivergedError: If a loss is no longer a number.
        CheckpointError: If there is a checkpoint that cannot be used.
    """
    device = torch.device(fitting.plan.device)
    state = start(fitting.plan, device)
    _resume(state, fitting)
    training = fitting.plan.system.training
    loader = _loader(fitting)
    if fitting.until_epoch == 0:
        _tell_early_end(state.step, fitting)
    epochs = training.epochs if fitting.until_epoch is None else fitting.until_epoch
    total = min(epochs, training.epochs) * training.steps_per_epoch
    run = _Run(fitting, state, device)
    for samples in loader.steps(state.step, total):
        run.step(samples)
        if state.step % training.steps_per_epoch == 0:
            run.finish_epoch()
        run.obey()
    return state.best_network.eval()


class _Run:
    """The steps of one fit."""

    def __init__(self, fitting: Fitting, state: State, device: torch.device) -> None:
        self._fitting = fitting
        self._plan = fitting.plan
        self._state = state
        self._device = device
        self._losses = tuple(
            (head.name, LOSSES.get(loss.name), loss.params)
            for head, loss in zip(
                joint_heads(self._plan.system), self._plan.system.training.losses, strict=True
            )
        )
        self._recipe = Augmentation() if self._plan.augment_on == "device" else None
        self._mark = self._saved = time.monotonic()
        self._epoch_s = 0.0
        self._step_s: float | None = None
        self._watch = ClassifierWatch()
        self._alarmed = False

    def step(self, samples: list[Sample]) -> None:
        """Take one optimiser step on the samples of this process."""
        state, plan, group = self._state, self._plan, self._fitting.group
        # Dropout and the variational branch draw from here: the same on every resume.
        torch.manual_seed(hash((plan.seed, state.step, group.rank)) % 2**62)
        factor = rate(plan.system.training.schedule, state.step, self._total)
        set_rate(state.optimiser, factor)
        state.optimiser.zero_grad(set_to_none=True)
        means = self._accumulate(samples)
        self._descend()
        state.step += 1
        for task, value in means.items():
            state.sums[task] = state.sums.get(task, 0.0) + value
        self._tell_step(means)

    def finish_epoch(self) -> None:
        """Validate, keep a checkpoint and tell."""
        state, fitting = self._state, self._fitting
        epoch = state.step // self._steps
        self._clock()
        scores: dict[str, float] = {}
        last = state.step == self._total
        if fitting.validate is not None and (last or epoch % fitting.validate_every == 0):
            scores = self._validated(epoch)
        self._clock(counts=False)
        record = EpochRecord(
            epoch=epoch,
            losses={task: total / self._steps for task, total in state.sums.items()},
            scores=scores,
            elapsed_s=state.elapsed_s,
            weights=dict(state.balancer.weights),
            learning_rate=float(state.optimiser.param_groups[0]["lr"]),
            samples_per_s=self._steps * self._plan.batch_size / max(self._epoch_s, 1e-9),
            memory_bytes=self._memory(),
        )
        state.history.append(_plain(record))
        state.sums = {}
        self._epoch_s = 0.0
        self._save()
        if fitting.group.is_first:
            fitting.follower.on_epoch(self._plan.system.name, self._epochs, record)
            self._look_at_classifier(epoch)

    def obey(self) -> None:
        """Do what the follower wants: go on, wait, or stop with a checkpoint."""
        wanted = self._wanted()
        if wanted != "run":
            self._clock()
            self._save()
        if wanted == "pause":
            self._fitting.follower.on_pause(is_paused=True)
            while (wanted := self._wanted()) == "pause":
                time.sleep(_PAUSE_LOOK_S)
            self._mark = time.monotonic()
            self._fitting.follower.on_pause(is_paused=False)
        if wanted == "stop":
            raise StoppedError
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            self._clock()
            self._save()

    def _wanted(self) -> str:
        """Return what the first process's follower wants."""
        group = self._fitting.group
        wish = _WISHES.index(self._fitting.follower.wanted()) if group.is_first else 0
        return _WISHES[group.agree(wish)]

    @property
    def _steps(self) -> int:
        return self._plan.system.training.steps_per_epoch

    @property
    def _epochs(self) -> int:
        return self._plan.system.training.epochs

    @property
    def _total(self) -> int:
        return self._steps * self._epochs

    def _accumulate(self, samples: list[Sample]) -> dict[str, float]:
        """Add the gradients of every part; return the batch's losses, over all processes."""
        plan, group = self._plan, self._fitting.group
        totals = torch.zeros(len(self._losses), device=self._device)
        for part in _parts(samples, plan.accumulation):
            if self._recipe is not None:
                part = [sample.changed(self._recipe, self._device) for sample in part]
            batch = self._fitting.sampler.batch(part).to(self._device)
            losses, factor = self._forward(batch)
            # Gradients are averaged over processes, so each counts its share of the whole batch.
            share = len(part) * group.size / plan.batch_size
            values = torch.stack([loss.detach().float() for loss in losses.values()])
            totals += share * values
            self._state.balancer.backward(
                losses,
                self._state.network.trunk.shared_parameters(),
                self._state.parameters,
                factor * share * self._state.scaler.get_scale(),
                group.average,
            )
        names = [name for name, *_ in self._losses]
        means = dict(zip(names, group.average(totals), strict=True))
        # After the exchange, so that every process hears of it.
        check_finite(means, self._state.step)
        return {name: float(value) for name, value in means.items()}

    def _forward(self, batch: Batch) -> tuple[dict[str, Tensor], float]:
        """Return the losses, and what the objective multiplies them with."""
        with autocast(self._device, self._plan.precision):
            outputs = self._state.network.outputs(batch.image_BCDHW)
        for name in JOINT_SUBTYPE & outputs.keys():
            self._watch.add(batch.subtypes_B, outputs[name])
        losses = {name: loss(outputs[name], batch, **given) for name, loss, given in self._losses}
        fitting = self._fitting
        return losses, fitting.objective.factor(outputs, batch, fitting.group.average)

    def _descend(self) -> None:
        state, training = self._state, self._plan.system.training
        self._fitting.objective.add_gradient(state.network, state.scaler.get_scale())
        self._fitting.group.average_gradients(state.parameters)
        state.scaler.unscale_(state.optimiser)
        torch.nn.utils.clip_grad_norm_(state.parameters, _CLIP_NORM)
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.balancer.after_step(self._fitting.group.average)
        if state.average is not None and training.average_decay is not None:
            update_average(state.average, state.network, state.step + 1, training.average_decay)

    def _validated(self, epoch: int) -> dict[str, float]:
        fitting = self._fitting
        scores: dict[str, float] = {}
        if fitting.group.is_first and fitting.validate is not None:
            network = self._state.best_network.eval()
            scores = fitting.validate(network, epoch)
            network.train()
        fitting.group.wait()
        return scores

    def _look_at_classifier(self, epoch: int) -> None:
        if self._alarmed or epoch < _ALARMS_FROM * self._epochs:
            return
        for text in self._watch.alarms():
            self._alarmed = True
            self._fitting.follower.on_alarm(text)

    def _tell_step(self, means: dict[str, float]) -> None:
        spent = self._clock()
        # The first step of a process is slow and says little of the others.
        if self._step_s is not None:
            self._step_s = 0.95 * self._step_s + 0.05 * spent
        elif self._epoch_s > spent:
            self._step_s = spent
        if not self._fitting.group.is_first:
            return
        state = self._state
        left = self._total - state.step
        self._fitting.follower.on_step(
            StepRecord(
                part=self._plan.system.name,
                epoch=(state.step - 1) // self._steps + 1,
                epochs=self._epochs,
                step=(state.step - 1) % self._steps + 1,
                steps=self._steps,
                losses=means,
                weights=dict(state.balancer.weights),
                remaining_s=None if self._step_s is None else left * self._step_s,
            )
        )

    def _clock(self, *, counts: bool = True) -> float:
        """Add the time since the last call to that of the training, if it counts as such."""
        now = time.monotonic()
        spent, self._mark = now - self._mark, now
        self._state.elapsed_s += spent
        if counts:
            self._epoch_s += spent
        return spent

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._fitting.group.is_first:
            remembered = {"objective": self._fitting.objective.state_dict()}
            save_checkpoint(self._state.content() | remembered, self._fitting.checkpoint)

    def _memory(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return peak_memory_bytes()


def _loader(fitting: Fitting) -> Loader:
    plan = fitting.plan
    recipe = Augmentation() if plan.augment_on == "cpu" else None
    numbers = fitting.group.share(plan.batch_size)
    return Loader(fitting.sampler, numbers, recipe, fitting.num_threads)


def default_num_threads() -> int:
    """Return how many threads should load patches here."""
    # ours: more than a few wait for the disk together.
    return min(8, max(1, (psutil.cpu_count(logical=False) or 1) // 2))


def _resume(state: State, fitting: Fitting) -> None:
    if not fitting.checkpoint.exists():
        return
    name = fitting.plan.system.name
    try:
        content = load_checkpoint(fitting.checkpoint, name)
        state.restore(content)
        if content.get("objective"):
            fitting.objective.load_state_dict(content["objective"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(name, "belongs to another plan") from error
    log.info("Resumed %s at step %d", name, state.step)


def _tell_early_end(step: int, fitting: Fitting) -> None:
    name, training = fitting.plan.system.name, fitting.plan.system.training
    total = training.epochs * training.steps_per_epoch
    if step < total:
        fitting.follower.on_alarm(
            f"{name} was ended early: its weights are those of step {step:,} of {total:,}."
        )


def _parts(samples: list[Sample], num_parts: int) -> Iterable[list[Sample]]:
    # As even as can be: a head that normalises over its part must not be left with one sample.
    num = min(num_parts, len(samples))
    ends = [len(samples) * part // num for part in range(num + 1)]
    return (samples[first:last] for first, last in pairwise(ends))


def _plain(record: EpochRecord) -> dict[str, object]:
    values = {name: getattr(record, name) for name in EpochRecord.__slots__}
    return {
        name: dict(value) if hasattr(value, "keys") else value for name, value in values.items()
    }
