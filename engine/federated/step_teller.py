"""Tell a site's events of the steps of its training."""

from __future__ import annotations

import time
from pathlib import Path

from engine.archive.federation import tell
from engine.federated.site_order import SiteOrder
from engine.training.follow import Nobody, StepRecord

# ours: a smooth curve, and files that stay small; a round of hours is told ever more seldom
_EVERY_S = 0.5
_EVERY_PART = 0.005
_AT_LEAST_EVERY_S = 30.0


class StepTeller(Nobody):
    """Tells of the steps of one round, not more often than anybody looks."""

    def __init__(self, folder: Path, order: SiteOrder, round_number: int) -> None:
        assert order.system.federation is not None, "it is a federation's"
        self._folder = folder
        self._order = order
        self._round = round_number
        self._federation = order.system.federation
        self._begun = time.monotonic()
        self._last = 0.0

    def on_step(self, record: StepRecord) -> None:
        """Tell of the step."""
        moment = time.monotonic()
        wait = min(max(_EVERY_S, _EVERY_PART * (moment - self._begun)), _AT_LEAST_EVERY_S)
        if moment - self._last < wait:
            return
        self._last = moment
        epochs = self._federation.local_epochs
        tell(
            self._folder,
            "step",
            run=self._order.run,
            round=self._round,
            rounds=self._federation.rounds,
            epoch=record.epoch - (self._round - 1) * epochs,
            epochs=epochs,
            step=record.step,
            steps=record.steps,
            losses=dict(record.losses),
            weights=dict(record.weights),
            remaining_s=record.remaining_s,
        )
