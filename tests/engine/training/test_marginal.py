"""A structure nobody looked for is merged into what encloses it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.training.losses import dice_ce
from engine.training.marginal import merge_unlabelled


def _logits() -> torch.Tensor:
    return torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))


def _labels(highest: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, highest + 1, (2, 3, 3), generator=generator)


@pytest.mark.parametrize(
    ("annotated", "groups"),
    [
        ((True, True, True), [[0], [1], [2], [3]]),
        ((True, True, False), [[0], [1], [2, 3]]),
        ((True, False, False), [[0], [1, 2, 3]]),
        ((True, False, True), [[0], [1, 2], [3]]),
        ((False, True, False), [[0, 1], [2, 3]]),
        ((False, False, False), [[0, 1, 2, 3]]),
    ],
)
def test_probabilities_of_merged_structures_add_up(
    annotated: tuple[bool, ...], groups: list[list[int]]
) -> None:
    logits, labels = _logits(), _labels(3)
    merged, numbers = merge_unlabelled(logits, labels, annotated)
    before, after = logits.softmax(0), merged.softmax(0)
    assert len(after) == len(groups)
    for number, group in enumerate(groups):
        assert torch.allclose(after[number], before[group].sum(0), atol=1e-6)
        assert torch.equal(numbers == number, torch.isin(labels, torch.tensor(group)))


def test_with_everything_annotated_the_loss_is_the_plain_one() -> None:
    logits, labels = _logits()[None], _labels(3)[None]
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(dice_ce(logits, labels, everything), dice_ce(logits, labels))


def test_the_gradient_is_shared_in_proportion_to_the_softmax() -> None:
    logits = _logits()[None, :3].clone().requires_grad_()
    dice_ce(logits, _labels(1)[None], torch.tensor([[True, False]])).backward()
    assert logits.grad is not None
    pancreas, lesion = logits.grad[0, 1], logits.grad[0, 2]
    shares = logits.detach().softmax(1)[0]
    assert torch.allclose(pancreas * shares[2], lesion * shares[1], atol=1e-8)
    assert bool(lesion.abs().max() > 1e-4)


def test_an_unlabelled_lesion_is_not_punished_inside_the_pancreas() -> None:
    labels = torch.ones(1, 2, 3, 3, dtype=torch.long)
    labels[0, 0] = 0
    as_pancreas = F.one_hot(labels, 3).movedim(-1, 1).float() * 50
    as_lesion = as_pancreas[:, [0, 2, 1]]
    unlabelled = torch.tensor([[True, False]])
    assert float(dice_ce(as_lesion, labels, unlabelled)) < 1e-4
    assert float(dice_ce(as_lesion, labels)) > 10


def test_with_nothing_annotated_there_is_nothing_to_learn() -> None:
    logits = _logits()[None].clone().requires_grad_()
    loss = dice_ce(logits, _labels(0)[None], torch.zeros(1, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_samples_of_one_batch_may_differ_in_what_is_annotated() -> None:
    logits = torch.stack([_logits(), _logits().flip(1)])
    labels = torch.stack([_labels(3), _labels(1)])
    annotated = torch.tensor([[True, True, True], [True, False, False]])
    first = dice_ce(logits[:1], labels[:1])
    second = dice_ce(logits[1:], labels[1:], annotated[1:])
    assert torch.allclose(dice_ce(logits, labels, annotated), (first + second) / 2)
