"""Strays go, parts of the organ stay."""

from __future__ import annotations

import numpy as np

from engine.data.prepare import prepare
from engine.geometry import from_spacing
from engine.inference.plausible import keep_one_organ
from engine.system import Preparation
from engine.volume import Volume

_PREPARED = prepare(
    Volume(np.zeros((20, 40, 60), np.int16), from_spacing((20, 40, 60), (2.0, 2.0, 2.0))),
    Preparation((2.0, 2.0, 2.0), (-100.0, 100.0), 0.0, 1.0),
)


def _probabilities() -> np.ndarray:
    probabilities = np.zeros((3, 20, 40, 60), np.float32)
    probabilities[0] = 1.0
    return probabilities


def _put(probabilities: np.ndarray, where: tuple[slice, ...], label: int) -> None:
    probabilities[(slice(None), *where)] = 0.0
    probabilities[(label, *where)] = 1.0


def test_a_stray_far_away_becomes_background() -> None:
    probabilities = _probabilities()
    _put(probabilities, (slice(5, 12), slice(5, 15), slice(5, 20)), 1)
    _put(probabilities, (slice(5, 9), slice(5, 9), slice(45, 49)), 2)
    kept = keep_one_organ(probabilities, _PREPARED)
    assert kept[2].sum() == 0
    assert kept[1].sum() == 7 * 10 * 15
    assert np.allclose(kept.sum(0), 1)


def test_a_near_piece_stays() -> None:
    probabilities = _probabilities()
    _put(probabilities, (slice(5, 12), slice(5, 15), slice(5, 20)), 1)
    _put(probabilities, (slice(5, 9), slice(5, 9), slice(24, 28)), 2)
    assert keep_one_organ(probabilities, _PREPARED)[2].sum() == 64


def test_nothing_stays_nothing() -> None:
    assert keep_one_organ(_probabilities(), _PREPARED)[0].min() == 1
