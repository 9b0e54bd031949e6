"""Patches come from the case asked for, and show small structures often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.data.chunked import ChunkedArray, write_chunked
from engine.data.patches import cut, draw_patch, draw_patch_of
from engine.data.store import StoredCase

_SHAPE = (40, 50, 60)


def _case(case_id: str = "a", value: float = 1.0) -> StoredCase:
    labels = np.zeros(_SHAPE, np.uint8)
    labels[10:30, 10:40, 10:50] = 1
    labels[20:23, 20:23, 20:23] = 2
    positions = tuple(np.argwhere(labels == v).astype(np.int32) for v in (1, 2))
    image = np.full(_SHAPE, value, np.float16) * (1 + labels)
    return StoredCase(case_id, image, labels, positions, 0)


def test_a_patch_of_a_compressed_case_equals_one_from_memory(tmp_path: Path) -> None:
    case = _case()
    write_chunked(np.asarray(case.image), tmp_path / "image.b2nd")
    write_chunked(np.asarray(case.labels), tmp_path / "labels.b2nd")
    packed = StoredCase(
        "a",
        ChunkedArray(tmp_path / "image.b2nd", _SHAPE, np.dtype(np.float16)),
        ChunkedArray(tmp_path / "labels.b2nd", _SHAPE, np.dtype(np.uint8)),
        case.positions,
        0,
    )
    for seed in range(30):
        size = (16, 64, 24)
        image, labels = draw_patch_of(case, size, 0.5, np.random.default_rng(seed))
        other, its_labels = draw_patch_of(packed, size, 0.5, np.random.default_rng(seed))
        assert np.array_equal(image, other)
        assert np.array_equal(labels, its_labels)
        assert (image.shape, image.dtype, labels.dtype) == (size, np.float32, np.uint8)


def test_a_wanted_structure_is_in_every_patch() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        _, labels = draw_patch_of(_case(), (16, 16, 16), 0.0, rng, wanted=2)
        assert (labels == 2).any()


def test_a_wanted_structure_that_is_not_there_changes_nothing() -> None:
    case = _case()
    healthy = StoredCase("a", case.image, case.labels, (case.positions[0], np.zeros((0, 3))), None)
    rngs = np.random.default_rng(3), np.random.default_rng(3)
    one = draw_patch_of(healthy, (16, 16, 16), 0.5, rngs[0], wanted=2)
    other = draw_patch_of(healthy, (16, 16, 16), 0.5, rngs[1])
    assert np.array_equal(one[0], other[0])


def test_small_structures_are_centred_on_as_often_as_large_ones() -> None:
    rng = np.random.default_rng(1)
    shown = [
        bool((draw_patch_of(_case(), (12, 12, 12), 1.0, rng)[1] == 2).any()) for _ in range(400)
    ]
    # Half of the patches lie around the lesion, which fills 1/900 of the organ; chance adds some.
    assert 0.45 < np.mean(shown) < 0.7


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_cases_are_drawn_alike(share: float) -> None:
    cases = (_case("a", 1.0), _case("b", 100.0))
    rng = np.random.default_rng(2)
    bright = [draw_patch(cases, (8, 8, 8), share, rng)[0].max() >= 100 for _ in range(400)]
    assert 0.42 < np.mean(bright) < 0.58


def test_beyond_the_volume_lies_mean_density() -> None:
    whole = np.ones((4, 4, 4), np.float32)
    window = cut(whole, np.array([-2, 1, 0]), (8, 4, 4))
    assert window.sum() == 4 * 3 * 4
    assert window[2:6, :3].all()
