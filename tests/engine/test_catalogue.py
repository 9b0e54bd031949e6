"""Every system of the catalogue is complete, says where it comes from, and learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.catalogue import SYSTEMS
from engine.catalogue.starter import STARTER
from engine.catalogue.variants import with_subtype_head
from engine.networks.build import build, joint_heads
from engine.networks.resenc import num_parameters
from engine.system import Part, System
from engine.system_json import system_from_json, system_to_json
from engine.training.balance import BALANCERS
from engine.training.losses import LOSSES
from engine.training.optimise import OPTIMISERS, SCHEDULES

_SIZES = ("toy", "small", "full")
# C2FNAS needs the most: in fewer channels than eight it learnt nothing in a federation.
_TOY_LIMIT = 1_500_000

# Of the network without what the reference does not count.
_REFERENCE = {
    "unet": 22_578_339,
    "resunet": 22_929_475,
    "attention_unet": 23_096_230,
    "attention_resunet": 23_447_366,
    "c2fnas": 15_313_856,
    "resenc_multitask": 102_268_079 + 1_055_235,
}


@pytest.fixture(params=SYSTEMS.names())
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS.get(request.param)


def test_every_name_is_the_systems_own() -> None:
    assert all(SYSTEMS.get(name).name == name for name in SYSTEMS.names())
    assert SYSTEMS.names()[:2] == ("starter", "islet")


def test_every_system_has_a_title_of_its_own_and_a_source() -> None:
    titles = [system.title for system in SYSTEMS]
    assert len(set(titles)) == len(titles)
    assert all(title.strip() for title in titles)
    assert all(len(system.source) > len("Islet") for system in SYSTEMS)


def test_every_system_comes_in_a_toy_and_a_small_size(system: System) -> None:
    assert set(system.sizes) == {"toy", "small"}
    for size in _SIZES:
        assert system.at(size).name == system.name
        assert not system.at(size).sizes


def test_small_systems_share_the_preparation_of_the_starter(system: System) -> None:
    assert system.at("small").preparation == STARTER.preparation


@pytest.mark.parametrize("size", _SIZES)
def test_a_system_is_the_same_after_a_journey_through_json(system: System, size: str) -> None:
    sized = system.at(size)
    assert system_from_json(json.loads(json.dumps(system_to_json(sized)))) == sized


@pytest.mark.parametrize("size", _SIZES)
def test_every_part_is_registered_and_every_joint_head_has_a_loss(
    system: System, size: str
) -> None:
    training = system.at(size).training
    assert len(training.losses) == len(joint_heads(system.at(size)))
    assert all(loss.name in LOSSES for loss in training.losses)
    assert training.optimiser.name in OPTIMISERS
    assert training.schedule.name in SCHEDULES
    tasks = [head.name for head in joint_heads(system.at(size))]
    # Made, since a balancer refuses tasks it does not know.
    assert BALANCERS.get(training.balance.name)(tasks, **training.balance.params)


@pytest.mark.parametrize("size", _SIZES)
def test_patches_and_windows_fit_the_strides(system: System, size: str) -> None:
    sized = system.at(size)
    with torch.device("meta"):
        strides = build(sized).trunk.stage_strides[-1]
    for shape in (sized.training.patch_shape, sized.inference.patch_shape):
        assert all(n % stride == 0 for n, stride in zip(shape, strides, strict=True))


def test_the_toy_is_tiny(system: System) -> None:
    toy = system.at("toy")
    with torch.device("meta"):
        assert num_parameters(build(toy)) < _TOY_LIMIT
    assert toy.training.epochs * toy.training.steps_per_epoch <= 16


def test_the_toy_learns_from_every_head(system: System) -> None:
    torch.manual_seed(0)
    toy = system.at("toy")
    network = build(toy)
    outputs = network.outputs(torch.randn(toy.training.batch_size, 1, *toy.training.patch_shape))
    assert list(outputs) == [head.name for head in joint_heads(toy)]
    found = [tensor for output in outputs.values() for tensor in _tensors(output)]
    assert all(bool(tensor.isfinite().all()) for tensor in found)
    learnt = [tensor for tensor in found if tensor.requires_grad]
    torch.stack([tensor.float().square().mean() for tensor in learnt]).sum().backward()
    idle = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None and not name.startswith("subtype.")
    ]
    assert idle == []


def test_every_head_speaks_to_what_the_tasks_share(system: System) -> None:
    torch.manual_seed(0)
    toy = system.at("toy")
    network = build(toy)
    outputs = network.outputs(torch.randn(toy.training.batch_size, 1, *toy.training.patch_shape))
    for output in outputs.values():
        # Weighted at random: of normalised values the plain sum is the same for every network.
        score = torch.stack(
            [(t * torch.randn_like(t)).sum() for t in _tensors(output) if t.requires_grad]
        ).sum()
        gradients = torch.autograd.grad(
            score, network.trunk.shared_parameters(), retain_graph=True, allow_unused=True
        )
        assert any(g is not None and bool(g.abs().max() > 0) for g in gradients)


@pytest.mark.parametrize(("name", "expected"), sorted(_REFERENCE.items()))
def test_the_full_network_has_the_size_of_its_reference(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert num_parameters(build(SYSTEMS.get(name))) == expected


def test_the_staged_system_has_the_trunk_of_the_joint_one() -> None:
    with torch.device("meta"):
        staged = build(SYSTEMS.get("resenc_staged"))
    assert num_parameters(staged.trunk) == 102_268_079
    assert staged.subtype is not None


def test_the_starter_at_its_small_size_is_the_starter() -> None:
    assert SYSTEMS.get("starter").at("small") == STARTER
    assert SYSTEMS.get("starter").at("full") == STARTER


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("kind", ["staged", "paper"])
@pytest.mark.parametrize("name", ["starter", "islet", "resenc_multitask", "resenc_staged"])
def test_systems_with_a_subtype_head_take_either_kind(name: str, kind: str, size: str) -> None:
    chosen = with_subtype_head(SYSTEMS.get(name).at(size), kind)
    tasks = [head.name for head in joint_heads(chosen)]
    assert len(chosen.training.losses) == len(tasks)
    assert ("subtype" in chosen.head_names) == (kind == "staged")
    assert ("subtype_joint" in tasks) == (kind == "paper")
    balance = chosen.training.balance
    assert BALANCERS.get(balance.name)(tasks, **balance.params)
    with torch.device("meta"):
        assert build(chosen).heads.keys() == set(tasks) - {"segmentation"}


def test_islet_detects_on_strides_2_to_16_and_classifies_on_every_stage() -> None:
    small = SYSTEMS.get("islet").at("small")
    network = build(small)
    levels = _head(small, "detection").params["levels"]
    assert [network.trunk.stage_strides[level][0] for level in levels] == [2, 4, 8, 16]
    assert network.subtype is not None
    assert network.subtype.num_stages == len(network.trunk.stage_features)


def test_a_slice_system_never_looks_at_another_slice() -> None:
    torch.manual_seed(0)
    network = build(SYSTEMS.get("slices_2d").at("toy")).eval()
    slices = torch.randn(1, 1, 1, 32, 32).expand(1, 1, 2, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            network(slices)["segmentation"][:, :, :1], network(slices[:, :, :1])["segmentation"]
        )


def _head(system: System, name: str) -> Part:
    (head,) = (head for head in system.heads if head.name == name)
    return head


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple):
        for item in output:
            yield from _tensors(item)
    elif is_dataclass(output):
        for field in fields(output):
            yield from _tensors(getattr(output, field.name))
