"""Make one model out of what the sites of a federation learnt in a round.

An update holds, for every tensor of the network, the difference to the model the round began with;
for whole numbers, e.g. counters, the value itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.registry import Registry

Update = Mapping[str, Tensor]

_SMALLEST_LOSS = 1e-8
_RATIOS = (0.1, 10.0)  # ours: a loss that jumps further says that something broke
_FIRST_TRUE_RATIO = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What a site says of its round beside the update.

    Args:
        site: Its name.
        num_cases: It trains on.
        loss: Mean over the steps of the round.
    """

    site: str
    num_cases: int
    loss: float


class Aggregator(Protocol):
    """Decides how much every site's update counts."""

    def weights(self, round_number: int, reports: Sequence[Report]) -> dict[str, float]:
        """Return the weight of every site that reported, and remember what it reported.

        Args:
            round_number: Counted from 1; asked once for each round, in their order.
            reports: Of at least one site, each once.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return everything it must remember, as JSON values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        ...


AGGREGATORS: Registry[Callable[..., Aggregator]] = Registry("aggregation rule")
"""By name: make a rule from its settings."""


def shares(reports: Sequence[Report]) -> dict[str, float]:
    """Return every site's share of the cases; they sum to 1."""
    total = sum(report.num_cases for report in reports)
    return {report.site: report.num_cases / total for report in reports}


class FedAvg:
    """Sites count by their cases: η_k = n_k / n. McMahan et al., 2017."""

    def weights(self, round_number: int, reports: Sequence[Report]) -> dict[str, float]:
        """Return the sites' shares of the cases."""
        return shares(reports)

    def state(self) -> dict[str, Any]:
        """Return nothing: every round is for itself."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember nothing."""


class Dwa:
    """Sites whose loss falls more slowly count more: dynamic weight averaging.

    λ_k = ξ exp(ρ_k / T) / Σ exp(ρ_i / T) with ρ_k = L_{k,r-1} / L_{k,r-2}; Shen et al., 2021,
    Eq. 7, after Liu et al., 2019. The weights sum to ξ, not to 1: ξ is the server's step length.

    The paper sets the losses before the first round to 1, which would make the ratio of round 2
    the loss itself; here (ours) it is 1, as if a loss had not changed. A ratio that is unknown,
    because the site was missing or its loss no usable number, is the site's last known one.

    Args:
        temperature: T; the larger, the more alike the weights.
        scale: ξ.

    Raises:
        ValueError: If one of them is not above 0.
    """

    def __init__(self, *, temperature: float = 2.0, scale: float = 1.0) -> None:
        if not (temperature > 0 and scale > 0):
            raise ValueError("temperature and scale must be above 0")
        self._temperature = temperature
        self._scale = scale
        self._losses: dict[str, dict[int, float]] = {}
        self._ratios: dict[str, float] = {}

    def weights(self, round_number: int, reports: Sequence[Report]) -> dict[str, float]:
        """Return λ, over the sites that reported."""
        ratios = {report.site: self._ratio(report.site, round_number) for report in reports}
        self._ratios |= ratios
        for report in reports:
            known = self._losses.setdefault(report.site, {})
            known[round_number] = report.loss
            self._losses[report.site] = {
                number: loss for number, loss in known.items() if number > round_number - 2
            }
        # The largest is taken out first, so that nothing overflows at a low temperature.
        largest = max(ratios.values())
        powers = {
            site: math.exp((ratio - largest) / self._temperature) for site, ratio in ratios.items()
        }
        total = sum(powers.values())
        return {site: self._scale * power / total for site, power in powers.items()}

    def state(self) -> dict[str, Any]:
        """Return the losses of the last two rounds and the last ratios."""
        return {
            "losses": {
                # JSON has no way to say that a loss is not a number.
                site: {str(n): loss if math.isfinite(loss) else None for n, loss in known.items()}
                for site, known in self._losses.items()
            },
            "ratios": dict(self._ratios),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._losses = {
            site: {int(n): math.nan if loss is None else float(loss) for n, loss in known.items()}
            for site, known in state["losses"].items()
        }
        self._ratios = {site: float(ratio) for site, ratio in state["ratios"].items()}

    def _ratio(self, site: str, round_number: int) -> float:
        unknown = self._ratios.get(site, 1.0)
        if round_number < _FIRST_TRUE_RATIO:
            return unknown
        known = self._losses.get(site, {})
        last, before = (known.get(round_number - back, math.nan) for back in (1, 2))
        if not all(math.isfinite(loss) and loss > _SMALLEST_LOSS for loss in (last, before)):
            return unknown
        return min(max(last / before, _RATIOS[0]), _RATIOS[1])


AGGREGATORS.add("fedavg", FedAvg)
AGGREGATORS.add("dwa", Dwa)


@torch.no_grad()
def difference(trained: Update, begun: Update) -> dict[str, Tensor]:
    """Return the update of a site that began a round with `begun` and ended with `trained`."""
    return {
        name: tensor - begun[name] if tensor.is_floating_point() else tensor.clone()
        for name, tensor in trained.items()
    }


@torch.no_grad()
def aggregated(
    model: Update,
    updates: Mapping[str, Update],
    weights: Mapping[str, float],
    shares: Mapping[str, float],
    buffers: AbstractSet[str],
) -> dict[str, Tensor]:
    """Return the model after a round.

    Parameters move by the sum of the differences times `weights`. Buffers, e.g. running
    variances, move by the mean over the cases, whatever the rule: a step longer than the mean
    could make a variance negative. Whole numbers are those of the first site by name.

    Args:
        model: That the round began with.
        updates: By site; asked for each once.
        weights: By site, as an aggregator gave them.
        shares: By site, summing to 1.
        buffers: Names of the tensors that are not trained.
    """
    sites = sorted(updates)
    result = {name: tensor.clone() for name, tensor in model.items()}
    # Site by site, so that no more than one update need be in memory at once.
    for site in sites:
        update = updates[site]
        for name, moved in result.items():
            if moved.is_floating_point():
                factors = shares if name in buffers else weights
                moved += factors[site] * update[name].to(moved)
            elif site == sites[0]:
                result[name] = update[name].clone()
    return result
