"""Boxes overlap, are described and are thinned out as their closed forms say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.networks.boxes import clip, decode, encode, iou, sizes, suppress


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    lower = torch.rand(count, 3, generator=generator) * 40
    return torch.cat([lower, lower + 2 + torch.rand(count, 3, generator=generator) * 30], dim=1)


def cube(start: float, edge: float) -> list[float]:
    return [float(start)] * 3 + [float(start + edge)] * 3


def test_a_box_overlaps_itself_fully_and_a_distant_one_not_at_all() -> None:
    boxes = torch.tensor([cube(0, 4), cube(10, 4)])
    assert torch.equal(iou(boxes, boxes), torch.eye(2))


def test_two_cubes_shifted_by_half_share_a_fifteenth() -> None:
    # 1 of the 8 eighths of each is shared: 1 / (8 + 8 - 1)
    assert float(iou(torch.tensor([cube(0, 2)]), torch.tensor([cube(1, 2)]))) == pytest.approx(
        1 / 15
    )


def test_boxes_without_volume_overlap_nothing() -> None:
    flat = torch.tensor([[1.0, 1, 1, 1, 3, 3]])
    assert float(iou(flat, flat)) == 0.0


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_encoding_and_decoding_are_inverse(seed: int) -> None:
    boxes, anchors = random_boxes(9, seed), random_boxes(9, seed + 1)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)


def test_an_anchor_that_fits_needs_no_change() -> None:
    anchors = random_boxes(5, 0)
    assert torch.allclose(encode(anchors, anchors), torch.zeros(5, 6), atol=1e-6)


def test_encoding_is_that_of_faster_rcnn_as_monai_has_it() -> None:
    coder = pytest.importorskip("monai.apps.detection.utils.box_coder")
    theirs = coder.BoxCoder(weights=(1.0,) * 6)
    boxes, anchors = random_boxes(20, 1), random_boxes(20, 2)
    torch.testing.assert_close(encode(boxes, anchors), theirs.encode_single(boxes, anchors))
    deltas = torch.randn(20, 6, generator=torch.Generator().manual_seed(3)) * 3
    torch.testing.assert_close(decode(deltas, anchors), theirs.decode_single(deltas, anchors))


def test_overlap_agrees_with_monai() -> None:
    box_utils = pytest.importorskip("monai.data.box_utils")
    first, second = random_boxes(30, 4), random_boxes(20, 5)
    torch.testing.assert_close(iou(first, second), box_utils.box_iou(first, second))


def test_huge_deltas_stay_finite() -> None:
    assert bool(decode(torch.full((1, 6), 1e4), random_boxes(1, 0)).isfinite().all())


def test_clipped_boxes_lie_within_the_grid() -> None:
    outside = torch.tensor([[-3.0, 2, -1, 50, 6, 70]])
    assert clip(outside, (10, 20, 30)).tolist() == [[0, 2, 0, 10, 6, 30]]


def test_of_overlapping_boxes_the_surest_is_left() -> None:
    boxes = torch.tensor([cube(0, 4), cube(0.5, 4), cube(20, 4)])
    left = suppress(boxes, torch.tensor([0.5, 0.9, 0.1]), overlap=0.22, max_boxes=10)
    assert left.tolist() == [1, 2]


def test_equally_sure_boxes_are_thinned_out_in_their_order() -> None:
    boxes = torch.tensor([cube(0, 4)] * 3)
    assert suppress(boxes, torch.full((3,), 0.5), overlap=0.5, max_boxes=3).tolist() == [0]


def test_no_more_boxes_are_left_than_asked_for() -> None:
    boxes = torch.tensor([cube(10.0 * i, 4) for i in range(5)])
    left = suppress(boxes, torch.arange(5.0), overlap=0.2, max_boxes=2)
    assert left.tolist() == [4, 3]


def test_nothing_is_left_of_nothing() -> None:
    left = suppress(torch.zeros(0, 6), torch.zeros(0), overlap=0.2, max_boxes=2)
    assert left.shape == (0,)
    assert left.dtype == torch.int64


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.22, 0.5]))
@settings(deadline=None)
def test_what_is_left_is_what_monai_leaves(seed: int, overlap: float) -> None:
    box_utils = pytest.importorskip("monai.data.box_utils")
    boxes = random_boxes(40, seed)
    probabilities = torch.rand(40, generator=torch.Generator().manual_seed(seed))
    theirs = box_utils.non_max_suppression(boxes, probabilities, nms_thresh=overlap)
    ours = suppress(boxes, probabilities, overlap=overlap, max_boxes=40)
    assert ours.tolist() == theirs.tolist()


def test_sizes_are_never_negative() -> None:
    assert sizes(torch.tensor([[5.0, 0, 0, 1, 2, 3]])).tolist() == [[0, 2, 3]]
