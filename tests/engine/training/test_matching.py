"""Anchors are given to lesions as ATSS does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.networks.anchors import grid_anchors
from engine.networks.boxes import iou
from engine.training.matching import BACKGROUND, match_anchors

_SHAPES = ((4.0, 6.0, 6.0), (10.0, 8.0, 8.0))
_LEVEL_SIZES = (8 * 8 * 8 * 2, 4 * 4 * 4 * 2)


def anchors() -> Tensor:
    return grid_anchors(
        ((8, 8, 8), (4, 4, 4)), ((4, 4, 4), (8, 8, 8)), _SHAPES, (1.0, 2.0), torch.device("cpu")
    )


def random_lesions(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    lower = torch.rand(count, 3, generator=generator) * 20
    return torch.cat([lower, lower + 3 + torch.rand(count, 3, generator=generator) * 9], dim=1)


def test_without_lesions_every_anchor_is_background() -> None:
    matched = match_anchors(torch.zeros(0, 6), anchors(), _LEVEL_SIZES, 2)
    assert bool((matched == BACKGROUND).all())


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(deadline=None)
def test_every_lesion_has_an_anchor_and_every_match_overlaps(seed: int, count: int) -> None:
    # One lesion in each octant, so that no two claim the same anchor.
    octants = torch.cartesian_prod(*[torch.tensor([0.0, 16.0])] * 3)[:count]
    generator = torch.Generator().manual_seed(seed)
    lower = octants + 2 + 4 * torch.rand(count, 3, generator=generator)
    lesions = torch.cat([lower, lower + 3 + 5 * torch.rand(count, 3, generator=generator)], dim=1)
    matched = match_anchors(lesions, anchors(), _LEVEL_SIZES, 2)
    assert set(range(count)) <= set(matched.tolist())
    overlaps = iou(lesions, anchors())
    for anchor in (matched != BACKGROUND).nonzero()[:, 0].tolist():
        assert float(overlaps[matched[anchor], anchor]) > 0


def test_a_lesion_with_the_shape_of_an_anchor_is_matched_to_it() -> None:
    exact = anchors()[301]
    assert int(match_anchors(exact[None], anchors(), _LEVEL_SIZES, 2)[301]) == 0


def test_a_patch_with_a_single_position_still_finds_its_lesion() -> None:
    only = grid_anchors(((1, 1, 1),), ((8, 8, 8),), _SHAPES[:1], (1.0,), torch.device("cpu"))
    assert match_anchors(torch.tensor([[2.0, 2, 2, 5, 5, 5]]), only, (1,), 1).tolist() == [0]


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(deadline=None)
def test_matches_are_those_of_monai(seed: int, count: int) -> None:
    module = pytest.importorskip("monai.apps.detection.utils.ATSS_matcher")
    lesions, ours = random_lesions(count, seed), anchors()
    _, theirs = module.ATSSMatcher(num_candidates=4, center_in_gt=False).compute_matches(
        lesions, ours, num_anchors_per_level=(512, 64), num_anchors_per_loc=2
    )
    matched = match_anchors(lesions, ours, _LEVEL_SIZES, 2)
    # We never leave a lesion without an anchor, MONAI may.
    found = theirs >= 0
    assert torch.equal(matched[found], theirs[found])
    extra = (matched != BACKGROUND) & ~found
    assert not set(matched[extra].tolist()) & set(theirs.tolist())
