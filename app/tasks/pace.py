"""How far an analysis is, and how long it will still take."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

log = logging.getLogger(__name__)

# ours: the starter on the sample, on two cores. The shares move the bar; they are no forecast.
_TYPICAL_S = MappingProxyType(
    {
        "load": 2.0,
        "localise": 1.5,
        "prepare": 0.2,
        "infer": 3.0,
        "restore": 0.1,
        "measure": 0.1,
        "classify": 1.0,
    }
)
# ours: without a past, say nothing before a fifth of the work has shown how fast it goes.
_SHARE_TO_JUDGE_BY = 0.2
# ours: one part in three of the past is enough to keep a short first stage from
# stretching or shrinking the whole forecast.
_TRUST_IN_PAST = 1 / 3
# ours: after a quarter of its windows, a stage's own pace says more than the past.
_SHARE_TO_BELIEVE_PACE = 0.25


class Pace:
    """The forecast of one analysis, from past stage times and from its own speed.

    Args:
        past_s: Seconds by stage, in order, of the last analysis like this one; empty where
            there was none. Then the forecast waits until this one has shown its speed.
    """

    def __init__(self, past_s: Mapping[str, float]) -> None:
        self._has_past = bool(past_s)
        self._expected_s = dict(past_s or _TYPICAL_S)
        self._sunk_s = 0.0
        self._done_s: dict[str, float] = {}
        self._stage = ""
        self._stage_s = 0.0
        self._overall = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, in order; of a stage that was repeated, the last time alone."""
        return {**self._done_s, self._stage: self._stage_s} if self._stage else {}

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
        if stage != self._stage:
            self._begin(stage)
        self._stage_s = stage_s
        scale = self._scale()
        stage_total_s = self._stage_total_s(fraction, scale)
        later_s = scale * sum(s for name, s in self._expected_s.items() if name not in self.seconds)
        remaining_s = max(stage_total_s - stage_s, 0.0) + later_s
        elapsed_s = self._sunk_s + sum(self.seconds.values())
        if elapsed_s + remaining_s > 0:
            self._overall = max(self._overall, elapsed_s / (elapsed_s + remaining_s))
        can_judge = self._has_past or self._overall >= _SHARE_TO_JUDGE_BY
        return self._overall, remaining_s if can_judge else None

    def _begin(self, stage: str) -> None:
        if self._stage:
            self._done_s[self._stage] = self._stage_s
        self._stage = stage
        # An analysis that goes back to an earlier stage will repeat all that came after it.
        while stage in self._done_s:
            self._sunk_s += self._done_s.popitem()[1]

    def _scale(self) -> float:
        """How this analysis compares with what was expected, by the stages that are over."""
        # A system that is loaded already says nothing of how fast the rest will be.
        known = [name for name in self._done_s if name in self._expected_s and name != "load"]
        prior_s = _TRUST_IN_PAST * sum(self._expected_s.values()) if self._has_past else 0.0
        actual_s = sum(self._done_s[name] for name in known) + prior_s
        expected_s = sum(self._expected_s[name] for name in known) + prior_s
        return actual_s / expected_s if actual_s > 0 and expected_s > 0 else 1.0

    def _stage_total_s(self, fraction: float, scale: float) -> float:
        """The present stage: what was expected gives way to its own pace as it goes on."""
        expected_s = scale * self._expected_s.get(self._stage, 0.0)
        if fraction <= 0:
            return expected_s
        weight = min(fraction / _SHARE_TO_BELIEVE_PACE, 1.0)
        return weight * self._stage_s / fraction + (1 - weight) * expected_s


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
