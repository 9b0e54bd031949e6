"""The losses agree with their closed forms, and every one is a mean over samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from engine.networks.build import joint_heads
from engine.training.batch import Batch
from engine.training.losses import LOSSES, deeply_supervised, dice_ce


@dataclass
class _Restored:
    image_BCDHW: torch.Tensor
    mean_BF: torch.Tensor
    sd_BF: torch.Tensor


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _batch(size: int = 2, annotated: tuple[tuple[bool, bool], ...] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        image_BCDHW=_random(size, 1, 4, 6, 6, seed=2),
        labels_BDHW=torch.randint(0, 3, (size, 4, 6, 6), generator=generator),
        annotated_BK=torch.tensor(annotated or ((True, True),) * size),
        boxes=(torch.zeros(0, 6),) * size,
        subtypes_B=torch.tensor([1, -1, 2, 0][:size]),
    )


def _one(batch: Batch, number: int) -> Batch:
    only = slice(number, number + 1)
    return Batch(
        batch.image_BCDHW[only],
        batch.labels_BDHW[only],
        batch.annotated_BK[only],
        batch.boxes[only],
        batch.subtypes_B[only],
    )


def _outputs(size: int) -> dict[str, tuple[Any, Any]]:
    """Every loss with an output for the whole batch and a way to cut out one sample."""
    levels = (_random(size, 3, 4, 6, 6), _random(size, 3, 2, 3, 3), _random(size, 3, 1, 2, 2))
    logits = _random(size, 3)
    restored = _Restored(_random(size, 1, 4, 6, 6), _random(size, 5), _random(size, 5).abs())
    return {
        "dice_ce": (levels, lambda n: tuple(level[n : n + 1] for level in levels)),
        "dice_focal_sigmoid": (levels, lambda n: tuple(level[n : n + 1] for level in levels)),
        "weighted_ce": (logits, lambda n: logits[n : n + 1]),
        "focal_ce": (logits, lambda n: logits[n : n + 1]),
        "vae": (
            restored,
            lambda n: _Restored(
                restored.image_BCDHW[n : n + 1],
                restored.mean_BF[n : n + 1],
                restored.sd_BF[n : n + 1],
            ),
        ),
    }


@pytest.mark.parametrize("name", sorted(_outputs(1)))
def test_a_loss_is_the_mean_over_its_samples(name: str) -> None:
    batch = _batch(4, ((True, True), (True, False), (False, False), (False, True)))
    whole, cut = _outputs(4)[name]
    loss = LOSSES.get(name)
    alone = torch.stack([loss(cut(n), _one(batch, n)) for n in range(4)])
    assert float(loss(whole, batch)) == pytest.approx(float(alone.mean()), rel=1e-5)


def test_a_perfect_prediction_costs_nothing() -> None:
    labels = torch.randint(0, 3, (1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    logits = F.one_hot(labels, 3).movedim(-1, 1).float() * 50
    assert float(dice_ce(logits, labels)) < 1e-4


def test_uniform_logits_cost_the_entropy_plus_the_dice_of_a_guess() -> None:
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    labels[0, 0] = 1
    loss = dice_ce(torch.zeros(1, 2, 2, 2, 2), labels)
    assert math.isclose(float(loss), math.log(2) + 1 - 2 * 2 / (4 + 4), rel_tol=1e-4)


def test_a_class_the_sample_lacks_gets_no_dice_gradient() -> None:
    logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    labels[0, 0] = 1
    dice_ce(logits, labels).backward()
    alone = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    F.cross_entropy(alone, labels).backward()
    assert logits.grad is not None
    assert alone.grad is not None
    # Only the softmax couples class 2 to the Dice term of class 1: it must not be pushed down
    # harder than class 0 is.
    extra = logits.grad - alone.grad
    assert torch.allclose(extra[:, 2], extra[:, 0])


def test_a_sample_without_structures_costs_its_cross_entropy() -> None:
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    logits = _random(1, 3, 2, 2, 2)
    assert torch.allclose(dice_ce(logits, labels), F.cross_entropy(logits, labels))


def test_deep_supervision_weights_sum_to_one() -> None:
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    outputs = tuple(torch.zeros(1, 2, 8 // n, 8 // n, 8 // n) for n in (1, 2, 4))
    constant = deeply_supervised(lambda *_: torch.tensor(3.0), outputs, labels)
    assert math.isclose(float(constant), 3.0, rel_tol=1e-6)


def test_the_segmentation_loss_halves_with_every_level_and_drops_the_coarsest() -> None:
    batch = _batch()
    levels = (_random(2, 3, 4, 6, 6), _random(2, 3, 2, 3, 3), _random(2, 3, 1, 2, 2))
    coarse = batch.labels_BDHW[:, ::2, ::2, ::2]
    wanted = (2 * dice_ce(levels[0], batch.labels_BDHW) + dice_ce(levels[1], coarse)) / 3
    assert torch.allclose(LOSSES.get("dice_ce")(levels, batch), wanted)


def test_a_single_slice_can_be_scored() -> None:
    labels = torch.ones(2, 1, 4, 4, dtype=torch.long)
    labels[:, :, 0] = 0
    assert bool(dice_ce(_random(2, 2, 1, 4, 4), labels).isfinite())


def test_half_precision_is_scored_in_full() -> None:
    logits, labels = _random(1, 3, 4, 6, 6).bfloat16(), _batch(1).labels_BDHW
    loss = dice_ce(logits, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, dice_ce(logits.float(), labels))


@pytest.mark.filterwarnings("ignore")
def test_dice_focal_is_that_of_monai() -> None:
    from monai.losses.dice import DiceLoss
    from monai.losses.focal_loss import FocalLoss

    batch = _batch()
    logits = _random(2, 3, 4, 6, 6)
    truth = F.one_hot(batch.labels_BDHW, 3).movedim(-1, 1).float()
    dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-6)
    wanted = dice(logits, truth) + FocalLoss(gamma=2.8)(logits, truth)
    ours = LOSSES.get("dice_focal_sigmoid")((logits,), batch)
    assert float(ours) == pytest.approx(float(wanted), rel=1e-5)


def test_dice_focal_has_no_gradient_for_a_structure_nobody_looked_for() -> None:
    logits = _random(1, 3, 4, 6, 6).requires_grad_()
    LOSSES.get("dice_focal_sigmoid")((logits,), _batch(1, ((True, False),))).backward()
    assert logits.grad is not None
    assert not logits.grad[:, 2].any()
    assert logits.grad[:, 1].any()


def test_the_starter_has_one_loss_for_every_joint_head() -> None:
    from engine.catalogue.starter import LOCALISER, STARTER

    for system in (LOCALISER, STARTER):
        assert len(system.training.losses) == len(joint_heads(system))
        assert all(loss.name in LOSSES for loss in system.training.losses)
