"""The losses agree with their closed forms."""

from __future__ import annotations

import math

import torch

from engine.training.losses import deeply_supervised, dice_ce


def test_a_perfect_prediction_costs_nothing() -> None:
    labels = torch.randint(0, 3, (1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float() * 50
    assert float(dice_ce(logits, labels)) < 1e-4


def test_uniform_logits_cost_the_entropy_plus_the_dice_of_a_guess() -> None:
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    labels[0, 0] = 1
    loss = dice_ce(torch.zeros(1, 2, 2, 2, 2), labels)
    assert math.isclose(float(loss), math.log(2) + 1 - 2 * 2 / (4 + 4), rel_tol=1e-4)


def test_a_class_the_batch_lacks_gets_no_dice_gradient() -> None:
    logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    labels[0, 0] = 1
    dice_ce(logits, labels).backward()
    alone = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    torch.nn.functional.cross_entropy(alone, labels).backward()
    assert logits.grad is not None
    assert alone.grad is not None
    # Only the softmax couples class 2 to the Dice term of class 1: it must not be pushed down
    # harder than class 0 is.
    extra = logits.grad - alone.grad
    assert torch.allclose(extra[:, 2], extra[:, 0])


def test_deep_supervision_weights_sum_to_one() -> None:
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    outputs = tuple(torch.zeros(1, 2, 8 // n, 8 // n, 8 // n) for n in (1, 2, 4))
    constant = deeply_supervised(lambda *_: torch.tensor(3.0), outputs, labels)
    assert math.isclose(float(constant), 3.0, rel_tol=1e-6)
