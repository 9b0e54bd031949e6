"""The networks of nnU-Net's plans have the published sizes, along every axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.catalogue.starter import STARTER
from engine.inference.model import load_model
from engine.networks.resenc import PlainUNet, ResEncUNet, canonical_state, num_parameters

_FEATURES = (32, 64, 128, 256, 320, 320)
_BLOCKS = (1, 3, 4, 6, 6, 6)
_KERNELS = ((1, 3, 3), 3, 3, 3, 3, 3)
_QUIZ = (1, (1, 2, 2), 2, 2, 2, 2)
_PANCREAS = (1, (1, 2, 2), 2, 2, 2, (1, 2, 2))


def _residual(strides, features=_FEATURES, blocks=_BLOCKS, kernels=_KERNELS) -> ResEncUNet:
    with torch.device("meta"):
        return ResEncUNet(
            num_classes=3,
            features=features,
            num_blocks=blocks,
            strides=strides,
            kernel_sizes=kernels,
        )


def _giga_macs(network: torch.nn.Module, shape: tuple[int, int, int]) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.empty(1, 1, *shape, device="meta"))
    return counter.get_total_flops() / 2e9


def test_the_plan_of_the_quiz_data_has_102_268_079_parameters() -> None:
    network = _residual(_QUIZ)
    assert num_parameters(network) == 102_268_079
    assert num_parameters(network.unet.encoder) == 90_259_136
    assert _giga_macs(network, (64, 128, 192)) == pytest.approx(780.7, abs=0.1)


def test_the_plans_of_the_decathlon_pancreas_have_the_published_sizes() -> None:
    assert num_parameters(_residual(_PANCREAS)) == 101_858_479
    large = _residual(
        (*_PANCREAS, (1, 2, 2)), (*_FEATURES, 320), (*_BLOCKS, 6), kernels=(*_KERNELS, 3)
    )
    assert num_parameters(large) == 140_989_042


def test_the_plain_network_of_the_decathlon_pancreas_has_30_704_303_parameters() -> None:
    with torch.device("meta"):
        network = PlainUNet(
            num_classes=3, features=_FEATURES, strides=_PANCREAS, kernel_sizes=_KERNELS
        )
    assert num_parameters(network) == 30_704_303
    assert _giga_macs(network, (40, 224, 224)) == pytest.approx(537.1, abs=0.2)


@pytest.mark.parametrize("make", [partial(ResEncUNet, num_blocks=(1, 1, 1)), PlainUNet])
def test_strides_multiply_along_each_axis(make: Callable[..., ResEncUNet | PlainUNet]) -> None:
    network = make(num_classes=2, features=(4, 4, 8), strides=(1, (1, 2, 2), 2))
    assert network.stage_strides == ((1, 1, 1), (1, 2, 2), (2, 4, 4))
    stages = network.encode(torch.randn(1, 1, 4, 8, 8))
    assert [tuple(stage.shape[1:]) for stage in stages] == [
        (4, 4, 8, 8),
        (4, 4, 4, 4),
        (8, 2, 2, 2),
    ]
    assert network.decode(stages)[0].shape == (1, 2, 4, 8, 8)


def test_in_plane_kernels_alone_treat_every_slice_on_its_own() -> None:
    torch.manual_seed(0)
    flat = ResEncUNet(
        num_classes=2,
        features=(4, 8),
        num_blocks=(1, 1),
        strides=(1, (1, 2, 2)),
        kernel_sizes=((1, 3, 3), (1, 3, 3)),
    )
    # The residual branches begin silent, and so would a kernel that reaches other slices.
    for parameter in flat.parameters():
        torch.nn.init.normal_(parameter)
    image = torch.randn(1, 1, 1, 8, 8)
    with torch.inference_mode():
        stacked = flat(image.expand(1, 1, 3, 8, 8))[0]
        torch.testing.assert_close(stacked, flat(image)[0].expand(1, 2, 3, 8, 8))


def test_the_shipped_weights_fit_the_starter_to_the_last_name() -> None:
    model = load_model(STARTER, "cpu")
    state = canonical_state(model.network)
    assert any(name.startswith("trunk.unet.encoder.") for name in state)
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())
