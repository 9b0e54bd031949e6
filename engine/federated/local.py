"""One site's share of a round: train from the federation's model with the one trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.data.store import StoredCase
from engine.evaluation.segmentation import dice
from engine.federated.aggregate import Update
from engine.federated.objective import OBJECTIVES
from engine.inference.outputs import infer_case
from engine.networks.build import MultitaskNetwork
from engine.run import Plan
from engine.system import Part
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.fit import Fitting, fit
from engine.training.follow import NOBODY, Follower
from engine.training.sample import Sampler
from engine.training.state import start
from engine.training.validate import crop_to_region

Scores = dict[str, list[float]]
"""By structure, the Dice of every case that shows it."""


class LocalTrainer:
    """Trains one site; optimiser, schedule and objective go on from round to round.

    Everything that a round needs to go on is in one checkpoint, so that a site may be interrupted
    at any moment and asked for the same round again.

    Args:
        plan: Its epochs are those of all rounds together.
        cases: To train on.
        checkpoint: The file.
        objective: Looked up in OBJECTIVES.
        local_epochs: Epochs of one round.

    Raises:
        ValueError: If the plan asks for a moving average of the weights, which would remember
            models that the federation has left behind.
    """

    def __init__(
        self,
        plan: Plan,
        cases: Sequence[StoredCase],
        checkpoint: Path,
        objective: Part,
        local_epochs: int,
    ) -> None:
        if plan.system.training.average_decay is not None:
            raise ValueError("a site of a federation keeps no moving average")
        self._plan = plan
        self._sampler = Sampler(plan, cases)
        self._checkpoint = checkpoint
        self._objective = OBJECTIVES.get(objective.name)(**objective.params)
        self._local_epochs = local_epochs

    def train_round(
        self, model: Update, round_number: int, follower: Follower = NOBODY
    ) -> tuple[dict[str, Tensor], float]:
        """Train from `model`, or go on where this round was left.

        Args:
            model: That the round begins with.
            round_number: Counted from 1.
            follower: Hears of every step.

        Returns:
            The trained tensors, on the CPU, and the mean loss over the steps of the round: the sum
            of the tasks' losses times their weights.

        Raises:
            StoppedError: If the follower wants to stop.
            DivergedError: If a loss is no longer a number.
            CheckpointError: If the checkpoint cannot be used.
        """
        self._begin(model, round_number)
        self._objective.begin_round(model)
        network = fit(
            Fitting(
                self._plan,
                self._sampler,
                self._checkpoint,
                follower=follower,
                objective=self._objective,
                until_epoch=round_number * self._local_epochs,
            )
        )
        history = self._load()["history"][-self._local_epochs :]
        return tensors_of(network), float(np.mean([_total_loss(epoch) for epoch in history]))

    def _begin(self, model: Update, round_number: int) -> None:
        """Put `model` into the checkpoint, unless this round has begun already."""
        num_steps = self._local_epochs * self._plan.system.training.steps_per_epoch
        first = (round_number - 1) * num_steps
        if self._checkpoint.exists():
            content = self._load()
        else:
            content = start(self._plan, torch.device(self._plan.device)).content()
        if first < content["step"] <= first + num_steps:
            return
        # A site that missed rounds takes up the schedule where the others are.
        content |= {"network": dict(model), "step": first, "sums": {}}
        content.pop("format", None)
        save_checkpoint(content, self._checkpoint)

    def _load(self) -> dict[str, Any]:
        return load_checkpoint(self._checkpoint, self._plan.system.name)


def tensors_of(network: MultitaskNetwork) -> dict[str, Tensor]:
    """Return a copy of every tensor of a network, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def buffers_of(network: MultitaskNetwork) -> frozenset[str]:
    """Return the names of the tensors that are not trained."""
    return frozenset(network.state_dict()) - {name for name, _ in network.named_parameters()}


def score(network: MultitaskNetwork, plan: Plan, cases: Sequence[StoredCase]) -> Scores:
    """Return the Dice of every annotated structure, case by case.

    As in training, a case is cropped to its labelled organ and the margin of the system, where it
    has one; lesions count as part of the pancreas; a case without a structure has no Dice of it.

    Args:
        network: In evaluation mode, on the plan's device.
        plan: Says how it is applied.
        cases: With labels.
    """
    system = plan.system
    scores: Scores = {}
    for stored in cases:
        case = crop_to_region(stored, system)
        image = np.asarray(case.image[:], dtype=np.float32)
        reference = np.asarray(case.labels[:])
        outputs = infer_case(
            network, system, image, device=torch.device(plan.device), precision=plan.precision
        )
        assert outputs.probabilities_KDHW is not None, "a federation segments"
        predicted = outputs.probabilities_KDHW.argmax(axis=0)
        for value, name in enumerate(system.structures, start=1):
            wanted = reference >= value
            if case.annotated[value - 1] and wanted.any():
                scores.setdefault(name, []).append(dice(predicted >= value, wanted))
    return scores


def _total_loss(epoch: Mapping[str, Any]) -> float:
    return sum(epoch["weights"].get(task, 1.0) * loss for task, loss in epoch["losses"].items())
