"""What a training may add to its losses, e.g. because it is one site of a federation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from engine.networks.build import MultitaskNetwork
from engine.training.batch import Batch
from engine.training.gradients import Average


class Objective(Protocol):
    """Changes the gradient of a step; what it must remember goes into the checkpoint."""

    def factor(self, outputs: Mapping[str, Any], batch: Batch, average: Average) -> float:
        """Return what the losses of a part of a batch are multiplied with.

        Args:
            outputs: Of the heads, by name.
            batch: That part.
            average: Over the processes that share a batch.
        """
        ...

    def add_gradient(self, network: MultitaskNetwork, scale: float) -> None:
        """Add `scale` times the gradient of a term of its own, once for a whole batch.

        Args:
            network: In training; its `.grad` hold the gradient of the losses.
            scale: The loss scale of fp16.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything it must remember: plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        ...


class Plain:
    """The losses as they are."""

    def factor(self, outputs: Mapping[str, Any], batch: Batch, average: Average) -> float:
        """Change nothing."""
        return 1.0

    def add_gradient(self, network: MultitaskNetwork, scale: float) -> None:
        """Add nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember nothing."""


PLAIN = Plain()
