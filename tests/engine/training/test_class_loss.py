"""The losses of the subtype agree with their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from engine.training.batch import UNKNOWN_SUBTYPE, Batch
from engine.training.class_loss import focal_ce, weighted_ce


def _batch(*subtypes: int) -> Batch:
    size = len(subtypes)
    return Batch(
        torch.zeros(size, 1, 1, 1, 1),
        torch.zeros(size, 1, 1, 1, dtype=torch.long),
        torch.ones(size, 2, dtype=torch.bool),
        (torch.zeros(0, 6),) * size,
        torch.tensor(subtypes),
    )


def _logits(size: int) -> torch.Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(0))


def test_without_weights_it_is_the_smoothed_cross_entropy() -> None:
    wanted = F.cross_entropy(_logits(3), torch.tensor([0, 2, 1]), label_smoothing=0.05)
    assert torch.allclose(weighted_ce(_logits(3), _batch(0, 2, 1)), wanted)


def test_weights_count_by_true_subtype() -> None:
    weights = (1.3548, 0.7925, 1.0)
    each = F.cross_entropy(_logits(3), torch.tensor([0, 2, 1]), reduction="none")
    wanted = (each * torch.tensor([1.3548, 1.0, 0.7925])).mean()
    ours = weighted_ce(_logits(3), _batch(0, 2, 1), weights=weights, smoothing=0)
    assert torch.allclose(ours, wanted)


def test_the_focal_loss_discounts_what_is_nearly_right() -> None:
    logits = torch.tensor([[math.log(0.8), math.log(0.1), math.log(0.1)]])
    assert float(focal_ce(logits, _batch(0))) == pytest.approx(0.2**2 * -math.log(0.8), rel=1e-4)


def test_the_focal_loss_without_gamma_is_the_cross_entropy() -> None:
    wanted = F.cross_entropy(_logits(2), torch.tensor([1, 2]))
    assert torch.allclose(focal_ce(_logits(2), _batch(1, 2), gamma=0), wanted)


@pytest.mark.parametrize("loss", [weighted_ce, focal_ce])
def test_an_unknown_subtype_teaches_nothing(loss: object) -> None:
    assert callable(loss)
    logits = _logits(2).requires_grad_()
    value = loss(logits, _batch(UNKNOWN_SUBTYPE, UNKNOWN_SUBTYPE))
    value.backward()
    assert float(value.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_certain_answer_has_a_finite_focal_gradient() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    focal_ce(logits, _batch(0), gamma=0.5).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
