"""How far an analysis is, and how long it will still take."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

# ours: one part in three of the past is enough to keep a short first stage from
# stretching or shrinking the whole forecast.
_TRUST_IN_PAST = 1 / 3


class Pace:
    """The forecast of one analysis, from past stage times and from its own speed.

    Args:
        expected_s: Seconds by stage, in order, of an analysis like this one.
    """

    def __init__(self, expected_s: Mapping[str, float]) -> None:
        self._expected_s = dict(expected_s)
        self._done_s: dict[str, float] = {}
        self._stage = ""
        self._stage_s = 0.0
        self._overall = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, in order."""
        if not self._stage:
            return {}
        so_far = self._done_s.get(self._stage, 0.0) + self._stage_s
        return {**self._done_s, self._stage: so_far}

    def update(self, stage: str, fraction: float, stage_s: float) -> tuple[float, float | None]:
        """Take a report in and return the forecast.

        Args:
            stage: What is being done.
            fraction: Of that stage, 0 to 1.
            stage_s: Seconds since that stage began.

        Returns:
            The fraction of the whole analysis that is done, which never falls, and the
            seconds that remain; None as long as nothing supports a figure.
        """
        if stage != self._stage and self._stage:
            self._done_s[self._stage] = self._done_s.get(self._stage, 0.0) + self._stage_s
        self._stage, self._stage_s = stage, stage_s
        stage_total_s = self._stage_total_s(fraction)
        if stage_total_s is None:
            return self._overall, None
        remaining_s = max(stage_total_s - stage_s, 0.0) + self._later_s(stage_total_s)
        elapsed_s = sum(self._done_s.values()) + stage_s
        if elapsed_s + remaining_s > 0:
            self._overall = max(self._overall, elapsed_s / (elapsed_s + remaining_s))
        return self._overall, remaining_s

    def _stage_total_s(self, fraction: float) -> float | None:
        """The present stage: the past's figure gives way to its own pace as it goes on."""
        past_s = self._expected_s.get(self._stage)
        if fraction <= 0:
            return past_s
        pace_s = self._stage_s / fraction
        return pace_s if past_s is None else fraction * pace_s + (1 - fraction) * past_s

    def _later_s(self, stage_total_s: float) -> float:
        """The stages to come: the past's figures, scaled by how this analysis compares so far."""
        seen = {**self._done_s, self._stage: stage_total_s}
        later_s = sum(s for stage, s in self._expected_s.items() if stage not in seen)
        known = [stage for stage in seen if stage in self._expected_s]
        prior_s = _TRUST_IN_PAST * sum(self._expected_s.values())
        actual_s = sum(seen[stage] for stage in known) + prior_s
        expected_s = sum(self._expected_s[stage] for stage in known) + prior_s
        return later_s * actual_s / expected_s if expected_s > 0 else later_s


class PaceBook:
    """Stage times of past analyses, by system and device, kept in the user's cache.

    Args:
        path: The JSON file; made with its folder when there is something to remember.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages = _read(path)

    def expected_s(self, system: str, device: str) -> Mapping[str, float]:
        """Return the seconds by stage of the last analysis; empty where there was none."""
        return self._pages.get(f"{system} on {device}", {})

    def remember(self, system: str, device: str, seconds: Mapping[str, float]) -> None:
        """Keep the stage times of an analysis for the next one."""
        self._pages[f"{system} on {device}"] = dict(seconds)
        draft = self._path.with_suffix(".draft")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._pages, indent=1))
            draft.replace(self._path)
        except OSError as error:
            # A forecast is a courtesy: without a cache folder the analysis goes on.
            log.warning("Stage times were not kept: %s", error.strerror)


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        pages = json.loads(path.read_text())
        return {
            str(page): {str(stage): float(seconds) for stage, seconds in times.items()}
            for page, times in pages.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
