"""Operations and parameters are those counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.catalogue import SYSTEMS
from engine.catalogue.starter import STARTER
from engine.inference.efficiency import measure_efficiency
from engine.networks.build import build
from engine.system import Part

PATCH = (8, 8, 8)


def tiny(**params):
    """Return a system of one stage: every operation in it can be counted by hand."""
    network = Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), **params})
    return replace(
        STARTER,
        network=Part("resenc_unet", {**network.params, "strides": (1, 2)}),
        heads=(Part("segmentation"),),
        subtypes=(),
        inference=replace(STARTER.inference, patch_shape=PATCH),
    )


def by_hooks(system) -> int:
    """Count the multiplications of every convolution from its weights and its output."""
    network = build(system).eval()
    total = 0

    def count(module, _inputs, output) -> None:
        nonlocal total
        per_place = (
            module.weight.numel()
            // (module.weight.shape[1 if isinstance(module, torch.nn.ConvTranspose3d) else 0])
        )
        total += (
            output.numel()
            * per_place
            // (
                module.stride[0] * module.stride[1] * module.stride[2]
                if isinstance(module, torch.nn.ConvTranspose3d)
                else 1
            )
        )

    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.outputs(torch.zeros((1, 1, *system.inference.patch_shape)))
    return total


def test_operations_are_those_of_every_convolution() -> None:
    system = tiny()
    assert measure_efficiency(system).macs == by_hooks(system) > 100_000


def test_twice_the_voxels_cost_twice_the_operations_and_no_parameter() -> None:
    system = tiny()
    wider = replace(system, inference=replace(system.inference, patch_shape=(8, 8, 16)))
    one, two = measure_efficiency(system), measure_efficiency(wider)
    assert two.macs == 2 * one.macs
    assert two.num_parameters == one.num_parameters


def test_parameters_are_those_of_the_network_and_sizes_follow(tmp_path: Path) -> None:
    system = tiny()
    found = measure_efficiency(system)
    assert found.num_parameters == sum(p.numel() for p in build(system).parameters())
    assert found.fp32_bytes == 4 * found.num_parameters
    assert found.file_bytes is None
    (tmp_path / "weights").write_bytes(b"1234")
    assert measure_efficiency(system, tmp_path / "weights").file_bytes == 4
    assert measure_efficiency(system, tmp_path / "none").file_bytes is None


@pytest.mark.parametrize("name", SYSTEMS.names())
def test_every_system_of_the_catalogue_can_be_counted(name: str) -> None:
    system = SYSTEMS.get(name)
    # The largest take seconds even without memory; their smallest size has the same parts.
    system = system.at("toy") if "toy" in system.sizes else system
    found = measure_efficiency(system)
    assert found.macs > found.num_parameters > 0
