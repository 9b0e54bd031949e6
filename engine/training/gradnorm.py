"""Balance tasks by how large their gradients are and how fast they learn: GradNorm.

Chen et al., GradNorm: Gradient normalization for adaptive loss balancing in deep multitask
networks, 2018. The weights learn from the gradient of their own objective, taken with respect to
them alone: nothing of it reaches the network.

Shapes: T tasks, P shared parameters, flattened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.gradients import Average, Losses, add_gradient, shared_gradients

# ours: the paper lets a weight reach zero, from where its task would not return.
_SMALLEST_WEIGHT = 1e-3


def gradnorm_targets(norms_T: Tensor, ratios_T: Tensor, alpha: float) -> Tensor:
    """Return the gradient norm that every task should have; Chen et al., Eq. 1 and 2.

    Args:
        norms_T: Of the weighted tasks' gradients.
        ratios_T: Of every loss to its first value.
        alpha: How strongly slow tasks are preferred; 0 makes all norms equal.
    """
    rates = ratios_T / ratios_T.mean()
    return norms_T.mean() * rates.pow(alpha)


def gradnorm_gradient(
    weights_T: Tensor, norms_T: Tensor, ratios_T: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return the objective of the weights and its gradient; the targets are constants.

    Args:
        weights_T: Of the tasks.
        norms_T: Of the gradients before they are weighted.
        ratios_T: Of every loss to its first value.
        alpha: As in `gradnorm_targets`.
    """
    distance = weights_T * norms_T - gradnorm_targets(weights_T * norms_T, ratios_T, alpha)
    return distance.abs().sum(), distance.sign() * norms_T


class GradNorm:
    """Weights that bring the tasks' gradient norms together; they sum to the number of tasks.

    Norms are those of the whole batch's gradients, whatever parts and processes it is split over.

    Args:
        tasks: Names of the tasks.
        alpha: How strongly slow tasks are preferred; MTMed3D's is 0.12.
        lr: Of the weights' Adam.
    """

    def __init__(self, tasks: Sequence[str], *, alpha: float = 0.12, lr: float = 1e-3) -> None:
        self._tasks = tuple(tasks)
        self._alpha = alpha
        self._weights = nn.Parameter(torch.ones(len(self._tasks)))
        self._adam = torch.optim.Adam([self._weights], lr=lr)
        self._first_losses = torch.full((len(self._tasks),), torch.nan)
        self._gathered: Tensor | None = None

    @property
    def weights(self) -> dict[str, float]:
        """How much every task counts now."""
        return dict(zip(self._tasks, self._weights.tolist(), strict=True))

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        parameters: Sequence[nn.Parameter],
        scale: float,
        average: Average,
    ) -> None:
        """Add the gradient of the weighted sum; remember every task's own."""
        ordered = {task: losses[task] for task in self._tasks}
        gradients = shared_gradients(ordered, shared, scale)
        values = torch.stack([scale * loss.detach().float() for loss in ordered.values()])
        scales = torch.full_like(values, scale)
        part = torch.cat((torch.stack((scales, values), 1), gradients), 1)
        self._gathered = part if self._gathered is None else self._gathered + part
        add_gradient(ordered, self.weights, parameters, scale)

    def after_step(self, average: Average) -> None:
        """Let the weights learn from the step's gradients."""
        assert self._gathered is not None, "a step has at least one part"
        gathered = average(self._gathered)
        self._gathered = None
        scale = gathered[0, 0]
        losses = (gathered[:, 1] / scale).cpu()
        norms = (gathered[:, 2:].norm(dim=1) / scale).cpu()
        # A step that overflowed in fp16 is not taken by the optimiser either.
        if bool(losses.isfinite().all() and norms.isfinite().all()):
            self._learn(losses, norms)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights, the first losses and Adam's moments."""
        return {
            "weights": self._weights.detach().clone(),
            "first_losses": self._first_losses.clone(),
            "adam": self._adam.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        with torch.no_grad():
            self._weights.copy_(state["weights"])
        self._first_losses = state["first_losses"].clone()
        self._adam.load_state_dict(state["adam"])

    def _learn(self, losses_T: Tensor, norms_T: Tensor) -> None:
        # A task that said nothing in this step has no training rate either.
        present = (norms_T > 0) & (losses_T > 0)
        unseen = present & self._first_losses.isnan()
        self._first_losses = torch.where(unseen, losses_T, self._first_losses)
        if not bool(present.any()):
            return
        gradient = torch.zeros_like(losses_T)
        _, gradient[present] = gradnorm_gradient(
            self._weights.detach()[present],
            norms_T[present],
            (losses_T / self._first_losses)[present],
            self._alpha,
        )
        self._weights.grad = gradient
        self._adam.step()
        with torch.no_grad():
            self._weights.clamp_(min=_SMALLEST_WEIGHT)
            self._weights.mul_(len(self._tasks) / self._weights.sum())
