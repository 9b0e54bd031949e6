"""Balance tasks so that a step makes none of them worse: the multiple-gradient descent algorithm.

Sener & Koltun, Multi-task learning as multi-objective optimization, 2018.

Shapes: T tasks, P shared parameters, flattened.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.registry import UnknownNameError
from engine.training.gradients import Average, Losses, add_gradient, shared_gradients

_NORMALISERS = ("l2", "loss", "none")
_NEGATIVE = -1e-9


def min_norm_weights(gram_TT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights, none negative and of sum 1, of the shortest weighted gradient.

    Exact: the shortest one is the foot of the perpendicular onto some face of the hull of the
    gradients, and few tasks have few faces. The paper approaches it with Frank-Wolfe steps.

    Args:
        gram_TT: Inner products of the tasks' gradients.
    """
    num_tasks = len(gram_TT)
    best, least = np.full(num_tasks, 1 / num_tasks), np.inf
    for size in range(1, num_tasks + 1):
        for members in map(list, combinations(range(num_tasks), size)):
            weights = np.zeros(num_tasks)
            weights[members] = _foot(gram_TT[np.ix_(members, members)])
            length = weights @ gram_TT @ weights
            if weights.min() >= _NEGATIVE and length < least:
                best, least = weights.clip(0), length
    return best / best.sum()


class Mgda:
    """Weights of the shortest combination of the tasks' gradients; they sum to 1.

    They are found anew for every part of a batch: unlike the other balancers', its step depends
    on how many parts a batch is computed in.

    Args:
        tasks: Names of the tasks.
        normaliser: What every gradient is divided by first: "l2" its norm, "loss" its task's
            loss, "none" nothing.

    Raises:
        UnknownNameError: If there is no such normaliser.
    """

    def __init__(self, tasks: Sequence[str], *, normaliser: str = "l2") -> None:
        if normaliser not in _NORMALISERS:
            raise UnknownNameError("normaliser", normaliser, _NORMALISERS)
        self._normaliser = normaliser
        self.weights = {task: 1 / len(tasks) for task in tasks}

    def backward(
        self,
        losses: Losses,
        shared: Sequence[nn.Parameter],
        parameters: Sequence[nn.Parameter],
        scale: float,
        average: Average,
    ) -> None:
        """Find the weights, then add the gradient of the weighted sum."""
        ordered = {task: losses[task] for task in self.weights}
        gradients = average(shared_gradients(ordered, shared, scale))
        values = torch.stack([scale * loss.detach().float() for loss in ordered.values()])
        weights = self._solve(gradients, average(values))
        self.weights = dict(zip(self.weights, weights.tolist(), strict=True))
        add_gradient(ordered, self.weights, parameters, scale)

    def after_step(self, average: Average) -> None:
        """Learn nothing: the weights follow from the gradients alone."""

    def state_dict(self) -> dict[str, Any]:
        """Return the last weights."""
        return {"weights": dict(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        self.weights = dict(state["weights"])

    def _solve(self, gradients_TP: Tensor, losses_T: Tensor) -> NDArray[np.float64]:
        norms = gradients_TP.norm(dim=1)
        if self._normaliser == "l2":
            gradients_TP = gradients_TP / norms.clamp_min(1e-30)[:, None]
        elif self._normaliser == "loss":
            gradients_TP = gradients_TP / losses_T.abs().clamp_min(1e-30)[:, None]
        gram = (gradients_TP @ gradients_TP.T).double().cpu().numpy()
        weights = np.full(len(gram), 1 / len(gram))
        # The shortest combination would be a task without a gradient, alone.
        present = np.flatnonzero(norms.cpu().numpy())
        # A step that overflowed in fp16 is not taken, whatever the weights.
        if len(present) and np.isfinite(gram).all():
            weights[:] = 0
            weights[present] = min_norm_weights(gram[np.ix_(present, present)])
        return weights


def _foot(gram_TT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of sum 1, negative ones allowed, of the shortest combination."""
    size = len(gram_TT)
    # Dividing by the mean keeps the two kinds of rows comparable.
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = gram_TT / max(float(np.trace(gram_TT)) / size, 1e-300)
    system[size, size] = 0
    wanted = np.zeros(size + 1)
    wanted[size] = 1
    return np.linalg.lstsq(system, wanted, rcond=None)[0][:size].astype(np.float64)
