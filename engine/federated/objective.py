"""What a site adds to its own loss, by name.

Shapes: B samples, K classes, D H W slices, rows, columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.federated.aggregate import Update
from engine.networks.build import SEGMENTATION, MultitaskNetwork
from engine.registry import Registry
from engine.training.batch import Batch
from engine.training.gradients import Average
from engine.training.marginal import merge_unlabelled
from engine.training.objective import Objective, Plain

_SURE = 1e-3  # at 0 the logarithm is endless, at 1 the weight is 0 and nothing is trained


class LocalObjective(Objective, Protocol):
    """An objective that knows the model of the federation."""

    def begin_round(self, model: Update) -> None:
        """Hear of the model that the round begins with."""
        ...


OBJECTIVES: Registry[Callable[..., LocalObjective]] = Registry("local objective")
"""By name: make an objective from its settings."""


class PlainObjective(Plain):
    """A site trains as it would alone."""

    def begin_round(self, model: Update) -> None:
        """Forget it: the training begins with it anyway."""


class FedProx(Plain):
    """Adds (µ / 2) ‖w - w_global‖² over the trained parameters. Li et al., FedProx, 2020.

    Its gradient µ (w - w_global) is added as it is, so that it costs no graph.

    Args:
        mu: µ; 0 trains exactly as `PlainObjective`.

    Raises:
        ValueError: If it is below 0.
    """

    def __init__(self, *, mu: float) -> None:
        if mu < 0:
            raise ValueError("mu must not be below 0")
        self._mu = mu
        self._model: Update = {}

    def begin_round(self, model: Update) -> None:
        """Keep the model, which the site may not leave too far behind."""
        self._model = model

    def add_gradient(self, network: MultitaskNetwork, scale: float) -> None:
        """Add the gradient of the proximal term; buffers have none."""
        if self._mu == 0:
            return
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            away = parameter.detach() - self._model[name].to(parameter)
            away *= scale * self._mu
            parameter.grad = away if parameter.grad is None else parameter.grad.add_(away)


class Dtp(FedProx):
    """Multiplies the losses with a focal weight of how well the site already does.

    κ = d^r of a batch's Dice d, smoothed as κ̄_i = (1 - α) κ_i + α κ̄_{i-1}, gives
    W = -(1 - κ̄)^γ log κ̄. Dynamic task prioritisation, Shen et al., 2021, Sect. 2.3, after
    Guo et al., 2018; α is the share of the *old* value.

    d is the mean soft Dice (ours: soft) over the structures that a sample shows and a reader
    looked for; a part of a batch without any leaves κ̄ as it is. κ̄ begins with the first κ (ours;
    the paper does not say), is carried over rounds, and is kept off 0 and 1 by 0.001 in W. Adam
    forgets a constant factor, so that W acts only while it changes.

    Args:
        gamma: γ.
        alpha: α, 0 to 1.
        power: r.
        mu: Of a proximal term as in `FedProx`, which W does not touch.
    """

    def __init__(
        self, *, gamma: float = 1.0, alpha: float = 0.5, power: float = 1.0, mu: float = 0.0
    ) -> None:
        super().__init__(mu=mu)
        if not 0 <= alpha < 1:
            raise ValueError("alpha must be from 0 to below 1")
        self._gamma, self._alpha, self._power = gamma, alpha, power
        self.smoothed: float | None = None

    def factor(self, outputs: Mapping[str, Any], batch: Batch, average: Average) -> float:
        """Return W, after κ̄ has followed this part of the batch."""
        scores = foreground_dice(outputs[SEGMENTATION][0].detach(), batch)
        total = torch.stack([scores.sum(), scores.new_tensor(float(len(scores)))])
        dice, number = average(total).tolist()
        if number > 0:
            self.observe(dice / number)
        return 1.0 if self.smoothed is None else focal_weight(self.smoothed, self._gamma)

    def observe(self, dice: float) -> float:
        """Let κ̄ follow the Dice of a batch, 0 to 1, and return it."""
        new = dice**self._power
        if self.smoothed is not None:
            new = (1 - self._alpha) * new + self._alpha * self.smoothed
        self.smoothed = new
        return new

    def state_dict(self) -> dict[str, Any]:
        """Return κ̄."""
        return {"smoothed": self.smoothed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a κ̄."""
        self.smoothed = state["smoothed"]


OBJECTIVES.add("plain", PlainObjective)
OBJECTIVES.add("fedprox", FedProx)
OBJECTIVES.add("dtp", Dtp)


def focal_weight(score: float, gamma: float) -> float:
    """Return W = -(1 - κ̄)^γ log κ̄ of a score κ̄, which is kept within 0.001 and 0.999."""
    kept = min(max(score, _SURE), 1 - _SURE)
    return -((1 - kept) ** gamma) * math.log(kept)


def foreground_dice(logits_BKDHW: Tensor, batch: Batch) -> Tensor:
    """Return, for every sample that shows an annotated structure, their mean soft Dice.

    Structures that nobody looked for are merged into the one around them, as in the loss.
    """
    scores: list[Tensor] = []
    for logits_KDHW, labels_DHW, annotated in zip(
        logits_BKDHW.float(), batch.labels_BDHW, batch.annotated_BK.tolist(), strict=True
    ):
        merged, labels = merge_unlabelled(logits_KDHW, labels_DHW, annotated)
        shares = merged.softmax(0)
        shown = [value for value in range(1, len(shares)) if bool((labels == value).any())]
        if shown:
            dices = [_soft_dice(shares[value], labels == value) for value in shown]
            scores.append(torch.stack(dices).mean())
    return torch.stack(scores) if scores else logits_BKDHW.new_zeros(0, dtype=torch.float32)


def _soft_dice(share_DHW: Tensor, truth_DHW: Tensor) -> Tensor:
    return 2 * (share_DHW * truth_DHW).sum() / (share_DHW.sum() + truth_DHW.sum())
