"""MTMed3D and its variants differ in what their names say, and look at lesions of the pancreas."""

from __future__ import annotations

import pytest
import torch

from engine.catalogue import SYSTEMS
from engine.catalogue.mtmed3d import MTMED3D, MTMED3D_FAMILY
from engine.networks.anchors import centred_overlap
from engine.networks.build import build, joint_heads
from engine.system import System
from engine.training.batch import Batch
from engine.training.losses import LOSSES

_WITH_BOXES = tuple(s for s in MTMED3D_FAMILY if "detection" in s.head_names)


def anchors_mm(system: System) -> torch.Tensor:
    head = next(head for head in system.heads if head.name == "detection")
    shapes = torch.tensor(head.params["anchors"]) * torch.tensor(system.preparation.spacing_mm)
    return torch.cat([shapes * scale for scale in head.params["scales"]])


@pytest.mark.parametrize("system", _WITH_BOXES, ids=lambda system: system.name)
@pytest.mark.parametrize("size", ["full", "small"])
def test_lesions_of_8_to_80_mm_overlap_an_anchor_by_half(system: System, size: str) -> None:
    edges = torch.arange(8.0, 81.0)[:, None].expand(-1, 3)
    assert float(centred_overlap(edges, anchors_mm(system.at(size))).amax(1).min()) > 0.5


@pytest.mark.parametrize("system", MTMED3D_FAMILY, ids=lambda system: system.name)
def test_every_member_takes_a_step_at_toy_size(system: System) -> None:
    assert SYSTEMS.get(system.name) == system
    toy = system.at("toy")
    torch.manual_seed(0)
    network = build(toy).train()
    shape = toy.training.patch_shape
    batch = Batch(
        torch.randn(1, 1, *shape),
        torch.randint(0, 3, (1, *shape)),
        torch.ones(1, 2, dtype=torch.bool),
        (torch.tensor([[8.0, 9, 20, 16, 15, 31]]),),
        torch.tensor([1]),
    )
    outputs = network.outputs(batch.image_BCDHW)
    heads = joint_heads(toy)
    total = torch.zeros(())
    for head, loss in zip(heads, toy.training.losses, strict=True):
        total = total + LOSSES.get(loss.name)(outputs[head.name], batch, **loss.params)
    total.backward()
    assert bool(total.isfinite())
    assert all(parameter.grad is not None for parameter in network.heads.parameters())


def test_detectors_without_outlines_report_boxes_that_are_less_sure() -> None:
    for system in MTMED3D_FAMILY:
        alone = "segmentation" not in system.head_names and "detection" in system.head_names
        for size in ("toy", "small", "full"):
            assert system.at(size).inference.box_threshold == (0.1 if alone else 0.5)


def test_ablations_exchange_the_neck_and_the_balance_alone() -> None:
    found = {
        system.name: (system.heads[1].params["neck"], system.training.balance.name)
        for system in MTMED3D_FAMILY
        if system.name.startswith("mtmed3d")
    }
    assert found == {
        "mtmed3d": ("panet", "gradnorm"),
        "mtmed3d_fpn_gradnorm": ("fpn", "gradnorm"),
        "mtmed3d_fpn_mgda": ("fpn", "mgda"),
        "mtmed3d_panet_mgda": ("panet", "mgda"),
    }
    joint = [system for system in MTMED3D_FAMILY if system.name in found]
    assert all(system.network == MTMED3D.network for system in joint)
