"""A site's own terms are what the papers write, and training with them is exact."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.federated.objective import (
    Dtp,
    FedProx,
    LocalObjective,
    PlainObjective,
    focal_weight,
    foreground_dice,
)
from engine.networks.build import MultitaskNetwork, build
from engine.training.batch import Batch
from engine.training.fit import Fitting, StoppedError, fit
from engine.training.follow import NOBODY, Follower, Nobody, StepRecord, Wish
from engine.training.sample import Sampler
from tests.engine.training.balls import CASES, ball_plan


def _same(value: Tensor) -> Tensor:
    return value


@pytest.mark.parametrize(
    ("score", "gamma", "expected"),
    [
        (0.1, 1, 2.072327), (0.1, 2, 1.865094), (0.5, 1, 0.346574),
        (0.5, 2, 0.173287), (0.9, 1, 0.010536), (0.9, 2, 0.001054),
    ],
)  # fmt: skip
def test_the_focal_weight_is_that_of_the_paper(score: float, gamma: float, expected: float) -> None:
    assert focal_weight(score, gamma) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("score", [-1.0, 0.0, 1.0, 2.0])
def test_no_score_stops_a_training_or_blows_it_up(score: float) -> None:
    assert 1e-7 < focal_weight(score, 1.0) < 7


def test_the_smoothed_score_begins_with_the_first_and_keeps_its_share_of_the_old() -> None:
    rule = Dtp(alpha=0.9)
    assert [rule.observe(dice) for dice in (0.2, 0.4, 0.6)] == pytest.approx([0.2, 0.22, 0.258])


def test_a_power_is_taken_of_the_dice_before_it_is_smoothed() -> None:
    rule = Dtp(alpha=0.5, power=2.0)
    assert [rule.observe(dice) for dice in (0.2, 0.4)] == pytest.approx([0.04, 0.1])


def test_the_smoothed_score_survives_a_round() -> None:
    first, second = Dtp(), Dtp()
    first.observe(0.3)
    second.load_state_dict(first.state_dict())
    assert second.observe(0.7) == first.observe(0.7)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="mu must not be below 0"):
        FedProx(mu=-1.0)
    with pytest.raises(ValueError, match="alpha must be"):
        Dtp(alpha=1.0)


def _batch(labels_BDHW: Tensor, annotated: list[list[bool]]) -> Batch:
    count = len(labels_BDHW)
    return Batch(
        torch.zeros(count, 1, *labels_BDHW.shape[1:]),
        labels_BDHW,
        torch.tensor(annotated),
        (torch.zeros(0, 6),) * count,
        torch.full((count,), -1),
    )


def _stripes() -> Tensor:
    """Return labels (1, 2, 2, 4) of a column each of 0, 1 and 2, and once more 0."""
    return torch.tensor([0, 1, 2, 0]).expand(1, 2, 2, 4)


def _certain(labels_BDHW: Tensor) -> Tensor:
    return 50.0 * torch.nn.functional.one_hot(labels_BDHW, 3).movedim(-1, 1).float()


def test_dice_is_one_where_everything_is_right_and_asks_only_for_what_was_looked_for() -> None:
    truth = _stripes()
    drawn = truth.clamp_max(1)  # Nobody looked for lesions: they are drawn as pancreas.
    said = _certain(truth)
    batch = _batch(drawn, [[True, False]])
    assert foreground_dice(said, batch).tolist() == pytest.approx([1.0])
    # The same answer where somebody looked, and there is no lesion, is half wrong for pancreas.
    batch = _batch(drawn, [[True, True]])
    assert foreground_dice(said, batch).tolist() == pytest.approx([2 / 3])


def test_uniform_guesses_have_the_dice_of_their_volumes() -> None:
    batch = _batch(_stripes(), [[True, True]])
    # By structure 2 * (4 / 3) / (16 / 3 + 4).
    assert foreground_dice(torch.zeros(1, 3, 2, 2, 4), batch).tolist() == pytest.approx([2 / 7])


def test_a_batch_of_background_leaves_the_weight_as_it_was() -> None:
    rule = Dtp()
    empty = _batch(torch.zeros(2, 2, 2, 4, dtype=torch.long), [[True, True]] * 2)
    outputs = {"segmentation": (torch.randn(2, 3, 2, 2, 4),)}
    assert rule.factor(outputs, empty, _same) == 1.0
    rule.observe(0.5)
    assert rule.factor(outputs, empty, _same) == pytest.approx(0.346574, abs=1e-6)
    assert rule.smoothed == 0.5


def test_the_weight_has_no_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, 4, requires_grad=True)
    weight = Dtp().factor({"segmentation": (logits,)}, _batch(_stripes(), [[True, True]]), _same)
    assert type(weight) is float
    assert logits.grad is None


def test_the_proximal_gradient_is_that_of_half_mu_times_the_squared_distance() -> None:
    torch.manual_seed(0)
    network = build(ball_plan(1).system)
    model = {name: tensor + torch.randn_like(tensor) for name, tensor in _floats(network).items()}
    frozen = next(network.parameters())
    frozen.requires_grad_(requires_grad=False)
    rule = FedProx(mu=0.3)
    rule.begin_round(model)
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    distance = torch.stack([(p - model[n]).square().sum() for n, p in trained.items()]).sum()
    wanted = torch.autograd.grad(0.3 / 2 * distance, list(trained.values()))
    rule.add_gradient(network, scale=1.0)
    for parameter, gradient in zip(trained.values(), wanted, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
    assert frozen.grad is None
    # Added to what is there, and scaled as fp16's losses are.
    rule.add_gradient(network, scale=8.0)
    for parameter, gradient in zip(trained.values(), wanted, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, 9 * gradient, atol=1e-5)


def _floats(network: MultitaskNetwork) -> dict[str, Tensor]:
    return {n: t for n, t in network.state_dict().items() if t.is_floating_point()}


class _StopAt(Nobody):
    def __init__(self, epoch: int, step: int) -> None:
        self._at, self._here = (epoch, step), (0, 0)

    def on_step(self, record: StepRecord) -> None:
        self._here = (record.epoch, record.step)

    def wanted(self) -> Wish:
        return "stop" if self._here == self._at else "run"


def _fitted(
    folder: Path,
    objective: LocalObjective,
    until: int | None = None,
    follower: Follower = NOBODY,
    batch_size: int = 2,
) -> dict[str, Tensor]:
    plan = ball_plan(4, batch_size=batch_size)
    torch.manual_seed(0)
    objective.begin_round(build(plan.system).state_dict())
    fitting = Fitting(
        plan,
        Sampler(plan, CASES),
        folder / "state.pt",
        follower=follower,
        objective=objective,
        until_epoch=until,
    )
    return {name: tensor.clone() for name, tensor in fit(fitting).state_dict().items()}


def _are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_without_mu_every_weight_is_that_of_a_plain_training(tmp_path: Path) -> None:
    plain = _fitted(tmp_path / "plain", PlainObjective())
    assert _are_equal(plain, _fitted(tmp_path / "none", FedProx(mu=0.0)))
    assert not _are_equal(plain, _fitted(tmp_path / "some", FedProx(mu=0.5)))


@pytest.mark.parametrize("make", [PlainObjective, lambda: FedProx(mu=0.1), Dtp])
def test_a_training_in_rounds_is_one_training(tmp_path: Path, make: type[PlainObjective]) -> None:
    whole = _fitted(tmp_path / "whole", make())
    for until in (1, 3, 4):
        parted = _fitted(tmp_path / "parted", make(), until)
    assert _are_equal(whole, parted)


def test_dtp_goes_on_in_the_middle_of_a_round(tmp_path: Path) -> None:
    whole = _fitted(tmp_path / "whole", Dtp())
    with pytest.raises(StoppedError):
        _fitted(tmp_path / "broken", Dtp(), follower=_StopAt(2, 3))
    assert _are_equal(whole, _fitted(tmp_path / "broken", Dtp()))


def test_the_losses_gradient_is_multiplied_and_the_proximal_one_is_not(tmp_path: Path) -> None:
    class _Nothing(Dtp):
        def factor(self, *_: object) -> float:
            return 0.0

    # The federation's model is another than the one this training begins with.
    plan = ball_plan(4)
    torch.manual_seed(plan.seed)
    begun = build(plan.system).state_dict()
    assert _are_equal(begun, _fitted(tmp_path / "still", _Nothing()))
    pulled = _fitted(tmp_path / "pulled", _Nothing(mu=0.5))
    assert not _are_equal(begun, pulled)


def test_marginal_labels_need_no_branch_of_their_own() -> None:
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 3, 2, 2, 4), _stripes().expand(2, 2, 2, 4)
    batch = _batch(truth, [[True, True], [False, False]])
    # Where nobody looked for anything there is nothing to score.
    assert len(foreground_dice(logits, batch)) == 1
    alone = _batch(truth[:1], [[True, True]])
    assert math.isclose(
        float(foreground_dice(logits[:1], alone)), float(foreground_dice(logits, batch)[0])
    )
