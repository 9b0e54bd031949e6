"""What a training carries from step to step, and how it is kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from engine.networks.build import STAGED_SUBTYPE, MultitaskNetwork, build, joint_heads
from engine.run import Plan
from engine.training.balance import BALANCERS, Balancer
from engine.training.optimise import make_optimiser

_STAGED_PREFIX = f"{STAGED_SUBTYPE}."


class State:
    """A network, its optimiser and where they are.

    Args:
        network: In training.
        average: Moving average of its weights; None where the system keeps none.
        optimiser: Of every jointly trained parameter.
        balancer: Weighs the tasks.
        scaler: Of the loss, for fp16.

    Attributes:
        step: Optimiser steps taken.
        sums: Losses by task, summed over the steps of the current epoch.
        history: Finished epochs, as plain values.
        elapsed_s: Wall time of training, interruptions left out.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        average: MultitaskNetwork | None,
        optimiser: torch.optim.Optimizer,
        balancer: Balancer,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.network = network
        self.average = average
        self.optimiser = optimiser
        self.balancer = balancer
        self.scaler = scaler
        self.step = 0
        self.sums: dict[str, float] = {}
        self.history: list[dict[str, Any]] = []
        self.elapsed_s = 0.0

    @property
    def best_network(self) -> MultitaskNetwork:
        """The network to validate and to keep."""
        return self.network if self.average is None else self.average

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """Every jointly trained parameter, in a fixed order."""
        return [
            parameter
            for name, parameter in self.network.named_parameters()
            if not name.startswith(_STAGED_PREFIX)
        ]

    def content(self) -> dict[str, Any]:
        """Return everything that must survive, for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "balancer": self.balancer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "sums": self.sums,
            "history": self.history,
            "elapsed_s": self.elapsed_s,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Go back to what `content` returned; may raise KeyError or RuntimeError."""
        self.network.load_state_dict(content["network"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.balancer.load_state_dict(content["balancer"])
        self.scaler.load_state_dict(content["scaler"])
        self.step = int(content["step"])
        self.sums = dict(content["sums"])
        self.history = list(content["history"])
        self.elapsed_s = float(content["elapsed_s"])


def start(plan: Plan, device: torch.device) -> State:
    """Return the state before the first step; the same seed gives the same weights."""
    torch.manual_seed(plan.seed)
    training = plan.system.training
    network = build(plan.system).to(device).train()
    average = None if training.average_decay is None else copy.deepcopy(network)
    if network.subtype is not None:
        network.subtype.requires_grad_(requires_grad=False)
    tasks = tuple(head.name for head in joint_heads(plan.system))
    scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "fp16")
    # The scale lives on the device only from the first use on, and gradients are scaled by hand.
    scaler.scale(torch.zeros((), device=device))
    return State(
        network=network,
        average=average,
        optimiser=make_optimiser(network, training.optimiser),
        balancer=BALANCERS.get(training.balance.name)(tasks, **training.balance.params),
        scaler=scaler,
    )
