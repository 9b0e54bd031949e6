"""The detector's loss rewards the right anchors, sample by sample."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.networks.anchors import grid_anchors
from engine.networks.boxes import encode
from engine.networks.detection import Detection
from engine.training.batch import UNKNOWN_SUBTYPE, Batch
from engine.training.detection_loss import focal, retinanet
from engine.training.losses import LOSSES
from engine.training.matching import BACKGROUND, match_anchors

_LEVELS = (4 * 4 * 4 * 2,)
_LESION = torch.tensor([[5.0, 6, 7, 11, 13, 12]])
_OTHER = torch.tensor([[1.0, 1, 1, 8, 6, 7], [9.0, 9, 9, 15, 15, 15]])
_NONE = torch.zeros(0, 6)


def anchors() -> Tensor:
    shapes = ((5.0, 5.0, 5.0), (8.0, 8.0, 8.0))
    return grid_anchors(((4, 4, 4),), ((4, 4, 4),), shapes, (1.0,), torch.device("cpu"))


def detection(num_samples: int, seed: int = 0) -> Detection:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_samples, _LEVELS[0], generator=generator)
    deltas = torch.randn(num_samples, _LEVELS[0], 6, generator=generator)
    return Detection(logits.requires_grad_(), deltas.requires_grad_(), anchors(), _LEVELS, 2)


def batch(*boxes: Tensor, annotated: bool = True) -> Batch:
    count = len(boxes)
    return Batch(
        torch.zeros(count, 1, 16, 16, 16),
        torch.zeros(count, 16, 16, 16, dtype=torch.int64),
        torch.tensor([[True, annotated]]).expand(count, 2),
        boxes,
        torch.full((count,), UNKNOWN_SUBTYPE),
    )


def one(output: Detection, sample: int) -> Detection:
    return replace(
        output,
        class_logits_BN=output.class_logits_BN[sample : sample + 1],
        box_deltas_BN6=output.box_deltas_BN6[sample : sample + 1],
    )


def test_the_loss_is_known_by_name() -> None:
    assert LOSSES.get("retinanet") is retinanet


def test_focal_loss_without_focus_is_the_cross_entropy_per_lesion_anchor() -> None:
    logits, held = torch.randn(50), torch.arange(50) < 5
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, held.float(), reduction="sum"
    )
    assert float(focal(logits, held, 0.0)) == pytest.approx(float(entropy) / 5, rel=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_focal_loss_has_its_closed_form(gamma: float) -> None:
    # One lesion anchor and one background anchor, both given the probability 0.8.
    logits = torch.full((2,), math.log(4))
    expected = -(0.2**gamma) * math.log(0.8) - 0.8**gamma * math.log(0.2)
    assert float(focal(logits, torch.tensor([True, False]), gamma)) == pytest.approx(expected)


def test_the_loss_of_two_samples_is_the_mean_of_the_single_ones() -> None:
    output = detection(2)
    whole = retinanet(output, batch(_LESION, _OTHER))
    parts = [retinanet(one(output, i), batch(boxes)) for i, boxes in enumerate((_LESION, _OTHER))]
    torch.testing.assert_close(whole, torch.stack(parts).mean())


def test_a_perfect_detection_costs_nothing() -> None:
    lesion_N = match_anchors(_LESION, anchors(), _LEVELS, 2)
    logits = torch.where(lesion_N == BACKGROUND, -30.0, 30.0)[None]
    deltas = encode(_LESION.expand(len(lesion_N), 6), anchors())[None]
    perfect = Detection(logits, deltas, anchors(), _LEVELS, 2)
    assert float(retinanet(perfect, batch(_LESION))) == pytest.approx(0.0, abs=1e-6)
    shifted = replace(perfect, box_deltas_BN6=deltas + 0.5)
    # |0.5| lies above beta = 1/9, so each coordinate costs 0.5 - 1/18
    assert float(retinanet(shifted, batch(_LESION))) == pytest.approx(0.5 - 1 / 18, rel=1e-5)


def test_only_anchors_of_a_lesion_are_asked_where_it_is() -> None:
    output = detection(1)
    retinanet(output, batch(_LESION)).backward()
    held = match_anchors(_LESION, anchors(), _LEVELS, 2) != BACKGROUND
    gradient = output.box_deltas_BN6.grad
    assert gradient is not None
    assert bool((gradient[0].abs().sum(1) > 0).eq(held).all())
    assert output.class_logits_BN.grad is not None
    assert bool((output.class_logits_BN.grad != 0).all())


def test_without_lesions_the_loss_is_background_alone_and_keeps_its_graph() -> None:
    output = detection(1)
    loss = retinanet(output, batch(_NONE))
    torch.testing.assert_close(
        loss, focal(output.class_logits_BN[0], torch.zeros(_LEVELS[0], dtype=torch.bool), 2.0)
    )
    loss.backward()
    gradient = output.box_deltas_BN6.grad
    assert gradient is not None
    assert not bool(gradient.any())


def test_where_nobody_looked_for_lesions_nothing_is_learned() -> None:
    output = detection(1)
    loss = retinanet(output, batch(_LESION, annotated=False))
    assert float(loss.detach()) == 0.0
    loss.backward()
    assert output.class_logits_BN.grad is not None
    assert not bool(output.class_logits_BN.grad.any())
