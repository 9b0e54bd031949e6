from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.catalogue import SYSTEMS
from engine.networks.build import build
from engine.networks.exact_convolution import make_exact


def _gradient(layer: nn.Conv3d, image: torch.Tensor, *, bf16: bool) -> torch.Tensor:
    layer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = layer(image)
    output.float().square().sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    return gradient.clone()


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 3, 3), (2, 8, 10), (1, 4, 4), (3, 3, 3)])
def test_weights_learn_from_thin_volumes_in_bf16_as_in_fp32(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 16, 3, padding=1)
    make_exact(layer)
    image = torch.randn(1, 16, *shape)
    exact = _gradient(layer, image, bf16=False)
    for _ in range(3):
        rounded = _gradient(layer, image, bf16=True)
        assert (rounded - exact).norm() < 0.03 * exact.norm()


def test_what_is_computed_without_gradients_stays_as_it_was() -> None:
    torch.manual_seed(0)
    layer, image = nn.Conv3d(4, 4, 3, padding=1), torch.randn(1, 4, 2, 5, 5)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        before = layer(image)
        make_exact(layer)
        assert torch.equal(layer(image), before)


def test_every_convolution_of_a_network_is_held_to_it() -> None:
    network = build(SYSTEMS.get("mtmed3d").at("toy"))
    plain = [m for m in network.modules() if type(m) is nn.Conv3d]
    assert not plain
