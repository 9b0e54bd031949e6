"""The four U-Nets have the sizes of their reference and treat space alike."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.networks.resenc import num_parameters
from engine.networks.unet import AttentionGate, ResidualLevel, UNet3d

_FULL = (32, 64, 128, 256, 512)
_VARIANTS = [(False, False), (True, False), (False, True), (True, True)]


def _tiny(*, residual: bool = False, gated: bool = False, deep: bool = False) -> UNet3d:
    torch.manual_seed(0)
    return UNet3d(
        num_classes=3, features=(4, 8, 8), residual=residual, gated=gated, deep_supervision=deep
    )


@pytest.mark.parametrize(
    ("residual", "gated", "parameters", "giga_macs"),
    [
        (False, False, 22_578_339, 200.7),
        (True, False, 22_929_475, 204.6),
        (False, True, 23_096_230, 202.0),
        (True, True, 23_447_366, 205.8),
    ],
)
def test_every_variant_has_the_size_and_the_cost_of_its_reference(
    residual: bool, gated: bool, parameters: int, giga_macs: float
) -> None:
    with torch.device("meta"):
        network = UNet3d(num_classes=3, features=_FULL, residual=residual, gated=gated)
        image = torch.empty(1, 1, 96, 96, 96)
    assert num_parameters(network) == parameters
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga_macs, abs=0.05)


@pytest.mark.parametrize(("residual", "gated"), _VARIANTS)
def test_stages_have_the_channels_and_strides_the_trunk_tells(residual: bool, gated: bool) -> None:
    network = _tiny(residual=residual, gated=gated)
    stages = network.encode(torch.randn(2, 1, 8, 16, 12))
    for stage, features, stride in zip(
        stages, network.stage_features, network.stage_strides, strict=True
    ):
        spans = tuple(n // s for n, s in zip((8, 16, 12), stride, strict=True))
        assert stage.shape == (2, features, *spans)


@pytest.mark.parametrize(("residual", "gated"), _VARIANTS)
def test_every_parameter_learns(residual: bool, gated: bool) -> None:
    network = _tiny(residual=residual, gated=gated)
    (logits,) = network(torch.randn(1, 1, 8, 8, 8))
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_deep_supervision_adds_the_logits_of_the_coarser_levels() -> None:
    logits = _tiny(deep=True)(torch.randn(1, 1, 8, 8, 8))
    assert [tuple(each.shape) for each in logits] == [(1, 3, 8, 8, 8), (1, 3, 4, 4, 4)]


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    network = _tiny(residual=True, gated=True)
    images = torch.randn(2, 1, 8, 8, 8)
    with torch.inference_mode():
        together = network(images)[0]
        alone = torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone)


def test_a_residual_level_whose_body_is_silent_passes_its_input_on() -> None:
    level = ResidualLevel(4, 4)
    for parameter in level.body.parameters():
        torch.nn.init.zeros_(parameter)
    values = torch.rand(1, 4, 4, 4, 4)
    torch.testing.assert_close(level(values), values)


def test_a_closed_gate_lets_nothing_of_the_skip_through() -> None:
    gate = AttentionGate(4, 8)
    assert gate.psi.bias is not None
    torch.nn.init.constant_(gate.psi.bias, -1e4)
    gating = torch.rand(1, 8, 2, 2, 2)
    one, other = (gate(torch.rand(1, 4, 4, 4, 4), gating) for _ in range(2))
    assert torch.equal(one, other)
