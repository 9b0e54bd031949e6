"""Anchors cover the patch evenly, and their shapes are those of the lesions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.networks.anchors import centred_overlap, fit_anchors, grid_anchors
from engine.networks.boxes import centres, sizes

_CPU = torch.device("cpu")
_SHAPES = ((4.0, 6.0, 6.0), (8.0, 8.0, 12.0))


def test_anchors_are_ordered_by_level_then_position_then_shape() -> None:
    anchors = grid_anchors(
        ((2, 2, 2), (1, 1, 1)), ((4, 8, 8), (8, 16, 16)), _SHAPES, (1.0, 2.0), _CPU
    )
    assert anchors.shape == (2 * 8 + 2, 6)
    assert sizes(anchors[:2]).tolist() == [list(shape) for shape in _SHAPES]
    assert sizes(anchors[16:]).tolist() == [[2 * edge for edge in shape] for shape in _SHAPES]
    assert centres(anchors[0]).tolist() == [2, 4, 4]
    assert centres(anchors[2]).tolist() == [2, 4, 12]
    assert centres(anchors[8]).tolist() == [6, 4, 4]
    assert centres(anchors[16]).tolist() == [4, 8, 8]


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 4, 4), (1, 8, 8)])
def test_anchors_are_centred_evenly_in_the_patch(stride: tuple[int, int, int]) -> None:
    shape = (16, 24, 8)
    grid = (shape[0] // stride[0], shape[1] // stride[1], shape[2] // stride[2])
    middle = centres(grid_anchors((grid,), (stride,), _SHAPES[:1], (1.0,), _CPU)).mean(0)
    assert middle.tolist() == [8, 12, 4]


@pytest.mark.parametrize("mode", [torch.inference_mode, FakeTensorMode])
def test_anchors_of_inference_or_a_dry_run_do_not_reach_the_training(
    mode: Callable[[], AbstractContextManager[object]],
) -> None:
    wanted = (((3, 3, 3),), ((5, 5, 5),), _SHAPES[:1], (1.0,), _CPU)
    with mode():
        grid_anchors(*wanted)
    weight = torch.ones(1, requires_grad=True)
    (grid_anchors(*wanted) * weight).sum().backward()
    assert weight.grad is not None
    assert float(weight.grad) == float(grid_anchors(*wanted).sum())


def test_fitted_anchors_are_the_shapes_the_boxes_come_in() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.tensor([[5.0, 6, 6], [10, 20, 20], [30, 20, 40]])
    edges = kinds.repeat(40, 1) * (0.95 + 0.1 * torch.rand(120, 3, generator=generator))
    corner = torch.rand(120, 3, generator=generator) * 50
    fitted = torch.tensor(fit_anchors(torch.cat([corner, corner + edges], dim=1), 3))
    torch.testing.assert_close(fitted, kinds, rtol=0.03, atol=0)


def test_shapes_that_differ_by_a_levels_scale_need_only_one_anchor() -> None:
    edges = torch.tensor([[6.0, 8, 8], [12, 16, 16], [24, 32, 32]]).repeat(5, 1)
    boxes = torch.cat([torch.zeros(15, 3), edges], dim=1)
    assert fit_anchors(boxes, 1, (1.0, 2.0, 4.0)) == ((6.0, 8.0, 8.0),)


def test_more_shapes_overlap_the_boxes_better() -> None:
    edges = 4 + 30 * torch.rand(200, 3, generator=torch.Generator().manual_seed(1))
    boxes = torch.cat([torch.zeros(200, 3), edges], dim=1)
    fits = [
        float(centred_overlap(edges, torch.tensor(fit_anchors(boxes, k))).amax(1).mean())
        for k in (1, 3, 6)
    ]
    assert fits == sorted(fits)
    assert fits[2] > fits[0] + 0.1


def test_shapes_cannot_be_fitted_to_fewer_boxes() -> None:
    with pytest.raises(ValueError, match="3 shapes need as many boxes, got 1"):
        fit_anchors(torch.tensor([[0.0, 0, 0, 1, 1, 1]]), 3)
