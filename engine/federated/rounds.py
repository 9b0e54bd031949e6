"""The server's side of a federation: what it knows between rounds, and how a round is ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from math import isfinite, nan
from statistics import mean
from typing import Any

from torch import Tensor

from engine.federated.aggregate import AGGREGATORS, Report, Update, aggregated, shares
from engine.federated.local import Scores
from engine.federated.sharing import DamagedUpdateError, check_fits, decode, dense_bytes
from engine.networks.vae import strip_system
from engine.system import Federation, System

Record = dict[str, Any]
"""What a round was like, as JSON values."""


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What a site gave to a round.

    Args:
        report: What it says of its round.
        update: What it shared, as `engine.federated.sharing.encode` wrote it.
    """

    report: Report
    update: bytes


@dataclass(slots=True)
class _State:
    """What goes on from round to round."""

    model: dict[str, Tensor]
    best: dict[str, Tensor]
    best_round: int = 0
    best_score: float = -1.0
    aggregator: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    records: list[Record] = field(default_factory=lambda: list[Record]())


class Rounds:
    """The rounds of one federation, as its server sees them.

    Args:
        federation: Its rule of aggregation, and how many rounds there are.
        model: That the first round begins with.
        buffers: Names of the tensors that are not trained.
    """

    def __init__(
        self,
        federation: Federation,
        model: dict[str, Tensor],
        buffers: AbstractSet[str],
    ) -> None:
        rule = federation.aggregate
        self._aggregator = AGGREGATORS.get(rule.name)(**rule.params)
        self._buffers = buffers
        self._state = _State(model, model)

    @property
    def model(self) -> dict[str, Tensor]:
        """The model that the next round begins with."""
        return self._state.model

    @property
    def best(self) -> dict[str, Tensor]:
        """The aggregate that validated best so far; the last one is a candidate."""
        return self._state.best

    @property
    def best_round(self) -> int:
        """Whose aggregate that is, counted from 1; 0 before any."""
        return self._state.best_round

    @property
    def records(self) -> tuple[Record, ...]:
        """What the finished rounds were like."""
        return tuple(self._state.records)

    def take(self, contributions: Sequence[Contribution]) -> Record:
        """End a round: aggregate what the sites gave.

        Args:
            contributions: Of at least one site, each once, whose updates fit the model.

        Returns:
            The record of the round, for the caller to add to.

        Raises:
            DamagedUpdateError: If an update does not fit; the round is then not ended.
        """
        state = self._state
        number = len(state.records) + 1
        reports = [each.report for each in contributions]
        updates = _Decoded({each.report.site: each.update for each in contributions}, state.model)
        before = self._aggregator.state()
        try:
            weights = self._aggregator.weights(number, reports)
            model = aggregated(state.model, updates, weights, shares(reports), self._buffers)
        except DamagedUpdateError:
            self._aggregator.restore(before)
            raise
        dense = dense_bytes(state.model)
        state.model, state.aggregator = model, self._aggregator.state()
        record: Record = {
            "round": number,
            "losses": {report.site: report.loss for report in reports},
            "weights": weights,
            "bytes": {
                each.report.site: {"sent": len(each.update), "dense": dense}
                for each in contributions
            },
        }
        state.records.append(record)
        return record

    def judge(self, scores: Mapping[str, Scores]) -> None:
        """Hear how the last aggregate did on the sites' validation cases, and keep the best."""
        state = self._state
        record = state.records[-1]
        value = overall(scores)
        if not isfinite(value) or value > state.best_score:
            state.best, state.best_round = state.model, record["round"]
            state.best_score = value if isfinite(value) else state.best_score
        record["validation"] = {site: means(each) for site, each in scores.items()}
        record["best_round"] = state.best_round

    def content(self) -> dict[str, Any]:
        """Return everything that must survive, for a checkpoint."""
        return {name: getattr(self._state, name) for name in _State.__slots__}

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go back to what `content` returned; may raise KeyError."""
        self._state = _State(**{name: content[name] for name in _State.__slots__})
        self._aggregator.restore(self._state.aggregator)


def means(scores: Scores) -> dict[str, float]:
    """Return the mean of every structure."""
    return {name: mean(values) for name, values in scores.items()}


def overall(scores: Mapping[str, Scores]) -> float:
    """Return the mean over sites of the mean over their structures; NaN where there is nothing."""
    each_site = [mean(means(each).values()) for each in scores.values() if each]
    return mean(each_site) if each_site else nan


def exported_system(system: System) -> System:
    """Return what the common model is used as: without localiser and heads that only train."""
    inference = replace(system.inference, region_margin_mm=None)
    return strip_system(replace(system, localiser=None, inference=inference, sizes={}))


class _Decoded(Mapping[str, Update]):
    """Updates that are decoded, and held against the model, when they are asked for."""

    def __init__(self, encoded: Mapping[str, bytes], model: Update) -> None:
        self._encoded = encoded
        self._model = model

    def __getitem__(self, site: str) -> Update:
        update = decode(self._encoded[site])
        check_fits(update, self._model)
        return update

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)
