"""Pyramids carry what they should between fine and coarse stages."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.networks.pyramid import Pyramid

_FEATURES = (4, 6, 8)
_STRIDES = ((2, 2, 2), (2, 4, 4), (4, 8, 8))


def stages() -> list[Tensor]:
    sizes = ((8, 16, 16), (8, 8, 8), (4, 4, 4))
    return [
        torch.randn(1, count, *size, requires_grad=True)
        for count, size in zip(_FEATURES, sizes, strict=True)
    ]


def reach(neck: str, level: int) -> list[bool]:
    """Return which stages a level of the pyramid depends on."""
    given = stages()
    pyramid = Pyramid(_FEATURES, _STRIDES, channels=8, neck=neck)
    pyramid(given)[level].square().sum().backward()
    return [bool(s.grad is not None and s.grad.any()) for s in given]


@pytest.mark.parametrize("neck", ["fpn", "panet", "panet_concat"])
def test_every_level_has_the_resolution_of_its_stage(neck: str) -> None:
    given = stages()
    levels = Pyramid(_FEATURES, _STRIDES, channels=8, neck=neck)(given)
    assert [level.shape[1:] for level in levels] == [(8, *s.shape[2:]) for s in given]


@pytest.mark.parametrize("neck", ["fpn", "panet", "panet_concat"])
def test_the_finest_level_knows_every_stage(neck: str) -> None:
    assert reach(neck, 0) == [True, True, True]


def test_only_a_path_aggregation_tells_the_deepest_level_of_the_fine_stages() -> None:
    assert reach("fpn", 2) == [False, False, True]
    assert reach("panet", 2) == [True, True, True]
    assert reach("panet_concat", 2) == [True, True, True]


def test_the_added_path_has_no_parameters_of_its_own() -> None:
    fpn, panet, joined = (
        sum(p.numel() for p in Pyramid(_FEATURES, _STRIDES, channels=8, neck=neck).parameters())
        for neck in ("fpn", "panet", "panet_concat")
    )
    assert panet == fpn
    # Two strided convolutions of 8 channels, and two that merge 16 into 8.
    assert joined - fpn == 2 * (8 * 8 * 27 + 8) + 2 * (16 * 8 * 27 + 8)


def test_an_unknown_neck_is_refused() -> None:
    with pytest.raises(ValueError, match="fpn, panet or panet_concat, got giraffe"):
        Pyramid(_FEATURES, _STRIDES, channels=8, neck="giraffe")
