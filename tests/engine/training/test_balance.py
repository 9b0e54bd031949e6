"""Balancers weigh all tasks, and nothing they learn leaks into the network."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from engine.registry import UnknownNameError
from engine.training.balance import BALANCERS, Balancer
from engine.training.gradnorm import gradnorm_gradient, gradnorm_targets
from engine.training.mgda import min_norm_weights

_TASKS = ("segmentation", "detection", "subtype")
_NAMES = ("fixed", "gradnorm", "mgda")


def _alone(value: torch.Tensor) -> torch.Tensor:
    return value


class _Network(nn.Module):
    """A trunk of two layers, the last of them shared, with a head for every task."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, 4)
        self.shared = nn.Linear(4, 4)
        self.heads = nn.ModuleDict({task: nn.Linear(4, 1) for task in _TASKS})

    def losses(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.shared(self.first(inputs).tanh()).tanh()
        outputs = {task: head(features) for task, head in self.heads.items()}
        # Tasks of very different size, as Dice and focal losses are.
        sizes = dict(zip(_TASKS, (1.0, 30.0, 0.1), strict=True))
        return {task: sizes[task] * (out - 1).square().mean() for task, out in outputs.items()}


_INPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


def _backward(
    balancer: Balancer,
    network: _Network,
    losses: Mapping[str, torch.Tensor],
    scale: float = 1.0,
    average: Callable[[torch.Tensor], torch.Tensor] = _alone,
) -> None:
    shared = tuple(network.shared.parameters())
    balancer.backward(losses, shared, tuple(network.parameters()), scale, average)


def _step(balancer: Balancer, network: _Network, scale: float = 1.0) -> None:
    _backward(balancer, network, network.losses(_INPUTS), scale)
    balancer.after_step(_alone)


def _gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None
    }


def _weighted_sum_gradients(weights: Mapping[str, float]) -> dict[str, torch.Tensor]:
    network = _Network()
    losses = network.losses(_INPUTS)
    torch.stack([weights[task] * loss for task, loss in losses.items()]).sum().backward()
    return _gradients(network)


def _assert_close(
    some: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor], times: float = 1.0
) -> None:
    assert some.keys() == others.keys()
    for name, value in some.items():
        assert torch.allclose(value, times * others[name], rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("name", _NAMES)
def test_the_gradient_is_that_of_the_weighted_sum_and_no_more(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    before = dict(balancer.weights)
    _step(balancer, network)
    # GradNorm moves its weights after the step, MGDA before.
    used = balancer.weights if name == "mgda" else before
    _assert_close(_gradients(network), _weighted_sum_gradients(used))


@pytest.mark.parametrize("name", _NAMES)
def test_gradients_are_added_and_scaled(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    _backward(balancer, network, network.losses(_INPUTS), 0.25)
    _backward(balancer, network, network.losses(_INPUTS), 0.5)
    _assert_close(_gradients(network), _weighted_sum_gradients(balancer.weights), 0.75)


@pytest.mark.parametrize("name", _NAMES)
def test_the_loss_scale_changes_no_weight(name: str) -> None:
    plain, scaled = BALANCERS.get(name)(_TASKS), BALANCERS.get(name)(_TASKS)
    for _ in range(5):
        _step(plain, _Network())
        _step(scaled, _Network(), 2.0**16)
    assert scaled.weights == pytest.approx(plain.weights, rel=1e-5)


@pytest.mark.parametrize("name", _NAMES)
def test_an_overflow_under_the_loss_scale_spoils_no_weight(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    _step(balancer, network)
    losses = {task: loss * torch.inf for task, loss in network.losses(_INPUTS).items()}
    _backward(balancer, network, losses)
    balancer.after_step(_alone)
    _step(balancer, network)
    assert all(np.isfinite(weight) for weight in balancer.weights.values())


@pytest.mark.parametrize("name", _NAMES)
def test_a_task_without_a_graph_breaks_nothing(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    for _ in range(3):
        losses = network.losses(_INPUTS) | {"detection": torch.zeros(())}
        _backward(balancer, network, losses)
        balancer.after_step(_alone)
    assert network.heads["detection"].weight.grad is None
    assert network.first.weight.grad is not None
    assert all(np.isfinite(weight) for weight in balancer.weights.values())
    assert balancer.weights["segmentation"] > 0
    assert balancer.weights["subtype"] > 0


@pytest.mark.parametrize("name", _NAMES)
def test_a_step_in_which_no_task_says_anything_breaks_nothing(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    _backward(balancer, network, {task: torch.zeros(()) for task in _TASKS})
    balancer.after_step(_alone)
    assert not _gradients(network)
    _step(balancer, network)
    assert len(_gradients(network)) == len(list(network.parameters()))


@pytest.mark.parametrize("name", _NAMES)
def test_a_frozen_parameter_stays_without_gradient(name: str) -> None:
    network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
    network.first.requires_grad_(requires_grad=False)
    network.shared.bias.requires_grad_(requires_grad=False)
    _step(balancer, network)
    assert network.first.weight.grad is None
    assert network.shared.weight.grad is not None


@pytest.mark.parametrize("name", _NAMES)
def test_a_balancer_goes_on_bit_for_bit_after_it_was_saved(name: str) -> None:
    network, whole = _Network(), BALANCERS.get(name)(_TASKS)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    resumed: Balancer | None = None
    for number in range(8):
        if number == 4:
            file = io.BytesIO()
            torch.save(whole.state_dict(), file)
            file.seek(0)
            resumed = BALANCERS.get(name)(_TASKS)
            resumed.load_state_dict(torch.load(file, weights_only=True))
        if resumed is not None:
            optimiser.zero_grad()
            _step(resumed, network)
        optimiser.zero_grad()
        _step(whole, network)
        optimiser.step()
    assert resumed is not None
    assert resumed.weights == whole.weights


def test_fixed_weights_are_one_unless_named() -> None:
    balancer = BALANCERS.get("fixed")(_TASKS, subtype=10)
    assert balancer.weights == {"segmentation": 1.0, "detection": 1.0, "subtype": 10.0}


def test_a_weight_of_no_task_is_refused() -> None:
    with pytest.raises(UnknownNameError) as caught:
        BALANCERS.get("fixed")(_TASKS, subtpye=10)
    assert caught.value.message == "There is no task called 'subtpye'."
    assert caught.value.remedy == "Did you mean 'subtype'?"


def test_gradnorm_agrees_with_its_closed_form() -> None:
    weights, norms = torch.ones(3), torch.tensor([1.0, 0.5, 0.25])
    ratios = torch.tensor([0.5, 0.8, 0.9])
    targets = gradnorm_targets(norms, ratios, 0.12)
    assert targets.tolist() == pytest.approx([0.557131, 0.589456, 0.597847], abs=1e-6)
    objective, gradient = gradnorm_gradient(weights, norms, ratios, 0.12)
    assert float(objective) == pytest.approx(0.880172, abs=1e-6)
    assert gradient.tolist() == [1.0, -0.5, -0.25]


def test_gradnorm_without_alpha_asks_for_equal_norms() -> None:
    targets = gradnorm_targets(torch.tensor([3.0, 1.0]), torch.tensor([0.1, 0.9]), 0.0)
    assert targets.tolist() == pytest.approx([2.0, 2.0])


def _norms(balancer: Balancer) -> list[float]:
    network = _Network()
    norms = []
    for task, loss in network.losses(_INPUTS).items():
        parts = torch.autograd.grad(loss, tuple(network.shared.parameters()), retain_graph=True)
        flat = torch.cat([part.flatten() for part in parts])
        norms.append(balancer.weights[task] * float(flat.norm()))
    return norms


def test_gradnorm_brings_the_norms_of_all_tasks_together() -> None:
    balancer = BALANCERS.get("gradnorm")(_TASKS, lr=0.005)
    apart = _norms(balancer)
    assert max(apart) > 20 * min(apart)
    weights = [dict(balancer.weights)]
    for _ in range(600):
        _step(balancer, _Network())
        weights.append(dict(balancer.weights))
        assert sum(balancer.weights.values()) == pytest.approx(3)
        assert min(balancer.weights.values()) > 0
    # Detection is by far the largest, and the first step already takes from it.
    assert weights[1]["detection"] < 1 < weights[1]["subtype"]
    together = _norms(balancer)
    assert max(together) < 1.2 * min(together)


def test_gradnorm_is_the_same_for_a_batch_in_parts() -> None:
    whole, parts = BALANCERS.get("gradnorm")(_TASKS), BALANCERS.get("gradnorm")(_TASKS)
    for _ in range(3):
        _step(whole, _Network())
        network = _Network()
        _backward(parts, network, network.losses(_INPUTS[:4]), 4 / 6)
        _backward(parts, network, network.losses(_INPUTS[4:]), 2 / 6)
        parts.after_step(_alone)
    assert parts.weights == pytest.approx(whole.weights, rel=1e-5)


class _Meeting:
    """Stands for two processes: the second pass hears what both have said in the first."""

    def __init__(self) -> None:
        self.said: list[list[torch.Tensor]] = []

    def average(self, number: int) -> Callable[[torch.Tensor], torch.Tensor]:
        heard = 0

        def mean(value: torch.Tensor) -> torch.Tensor:
            nonlocal heard
            if len(self.said) == number:
                self.said.append([])
            if heard == len(self.said[number]):
                self.said[number].append(value.clone())
            heard += 1
            rows = [row[heard - 1] for row in self.said if len(row) >= heard]
            return torch.stack(rows).mean(0)

        return mean


@pytest.mark.parametrize("name", ["gradnorm", "mgda"])
def test_two_processes_end_with_the_weights_of_one(name: str) -> None:
    alone = BALANCERS.get(name)(_TASKS)
    _step(alone, _Network())
    meeting = _Meeting()
    weights = []
    # The first round only gathers; in the second every process hears both.
    for _ in range(2):
        weights = []
        for number, (inputs, share) in enumerate(((_INPUTS[:4], 4 / 3), (_INPUTS[4:], 2 / 3))):
            network, balancer = _Network(), BALANCERS.get(name)(_TASKS)
            average = meeting.average(number)
            _backward(balancer, network, network.losses(inputs), share, average)
            balancer.after_step(average)
            weights.append(balancer.weights)
    assert weights[0] == weights[1]
    assert weights[0] == pytest.approx(alone.weights, rel=1e-5)


def _two_tasks(normaliser: str) -> dict[str, float]:
    point = nn.Parameter(torch.zeros(2))
    losses = {"first": point[0] + 3.0, "second": 2 * point[1] + 1.0}
    balancer = BALANCERS.get("mgda")(tuple(losses), normaliser=normaliser)
    balancer.backward(losses, (point,), (point,), 1.0, _alone)
    return balancer.weights


def test_mgda_prefers_the_smaller_of_two_gradients() -> None:
    assert _two_tasks("none") == pytest.approx({"first": 0.8, "second": 0.2})


def test_mgda_treats_normalised_gradients_alike() -> None:
    assert _two_tasks("l2") == pytest.approx({"first": 0.5, "second": 0.5})


def test_mgda_divides_by_the_loss() -> None:
    # Gradients (1/3, 0) and (0, 2): the weights are as 4 to 1/9.
    assert _two_tasks("loss") == pytest.approx({"first": 36 / 37, "second": 1 / 37})


def test_mgda_knows_its_normalisers() -> None:
    with pytest.raises(UnknownNameError) as caught:
        BALANCERS.get("mgda")(_TASKS, normaliser="losses")
    assert caught.value.message == "There is no normaliser called 'losses'."
    assert caught.value.remedy == "Did you mean 'loss'?"


@pytest.mark.parametrize("seed", range(6))
def test_the_shortest_combination_is_that_of_a_fine_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(3, 4)) + rng.normal(size=4)
    gram = gradients @ gradients.T
    weights = min_norm_weights(gram)
    steps = np.linspace(0, 1, 201)
    grid = np.array([(a, b, 1 - a - b) for a, b in product(steps, steps) if a + b <= 1 + 1e-9])
    lengths = np.einsum("ni,ij,nj->n", grid, gram, grid)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert weights @ gram @ weights <= lengths.min() + 1e-9
    assert np.abs(weights - grid[lengths.argmin()]).max() < 0.02


def test_opposed_gradients_cancel() -> None:
    gradients = np.array([[1.0, 0.0], [-2.0, 0.0]])
    assert min_norm_weights(gradients @ gradients.T) == pytest.approx([2 / 3, 1 / 3])


def test_equal_gradients_have_no_preferred_combination() -> None:
    weights = min_norm_weights(np.ones((3, 3)))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
