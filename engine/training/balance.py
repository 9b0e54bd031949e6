"""Combine the losses of several tasks into one gradient.

What decides the weights is averaged over the processes that share a batch, so that all of them
end with the same ones. A task whose loss has no gradient in a step, e.g. a patch without a lesion,
is left out of that step's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import nn

from engine.registry import Registry, UnknownNameError
from engine.training.gradients import Average, Losses, add_gradient
from engine.training.gradnorm import GradNorm
from engine.training.mgda import Mgda


class Balancer(Protocol):
    """Decides how much every task counts; `weights` are the current ones, by task."""

    @property
    def weights(self) -> dict[str, float]:
        """How much every task counts now."""
        ...

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        parameters: Sequence[nn.Parameter],
        scale: float,
        average: Average,
    ) -> None:
        """Add `scale` times the combined gradient to `.grad` of `parameters`.

        Args:
            losses: By task; one without a graph adds nothing.
            shared: Parameters that every task's gradient passes; they decide the weights.
            parameters: All that are trained.
            scale: This part's share of the batch, times the loss scale of fp16. The weights do
                not depend on the loss scale.
            average: Over the processes that share a batch.
        """
        ...

    def after_step(self, average: Average) -> None:
        """Update what the balancer learns, once per optimiser step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything it must remember: tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        ...


BALANCERS: Registry[Callable[..., Balancer]] = Registry("balancer")
"""By name: make a balancer from (names of the tasks, **params)."""
BALANCERS.add("gradnorm", GradNorm)
BALANCERS.add("mgda", Mgda)


@BALANCERS.register("fixed")
class Fixed:
    """Weights that stay.

    Args:
        tasks: Names of the tasks.
        weights: By task; 1 where it is not named.

    Raises:
        UnknownNameError: If a weight is of no task.
    """

    def __init__(self, tasks: Sequence[str], **weights: float) -> None:
        for name in weights:
            if name not in tasks:
                raise UnknownNameError("task", name, tuple(tasks))
        self.weights = {task: float(weights.get(task, 1.0)) for task in tasks}

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        parameters: Sequence[nn.Parameter],
        scale: float,
        average: Average,
    ) -> None:
        """Add the gradient of the weighted sum."""
        add_gradient(losses, self.weights, parameters, scale)

    def after_step(self, average: Average) -> None:
        """Learn nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the weights are the system's."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember nothing."""
