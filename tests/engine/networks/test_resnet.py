"""The residual encoder has the stages it announces, and treats samples one by one."""

from __future__ import annotations

import torch

from engine.networks.resenc import num_parameters
from engine.networks.resnet import Bottleneck, ResNetEncoder


def tiny() -> ResNetEncoder:
    torch.manual_seed(0)
    return ResNetEncoder(num_classes=3, features=(8, 8, 16), num_blocks=(1, 2, 1))


def test_stages_are_as_announced() -> None:
    trunk = tiny()
    image = torch.randn(1, 1, 32, 16, 48)
    stages = trunk.encode(image)
    assert tuple(stage.shape[1] for stage in stages) == trunk.stage_features == (8, 32, 32, 64)
    assert trunk.stage_strides == ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))
    for stage, strides in zip(stages, trunk.stage_strides, strict=True):
        assert tuple(stage.shape[2:]) == tuple(
            edge // stride for edge, stride in zip(image.shape[2:], strides, strict=True)
        )
    assert trunk.decode(stages) == ()


def test_samples_of_a_batch_do_not_mix() -> None:
    trunk = tiny().train()
    image = torch.randn(2, 1, 16, 16, 16)
    for whole, alone in zip(trunk.encode(image), trunk.encode(image[1:]), strict=True):
        torch.testing.assert_close(whole[1:], alone)


def test_the_last_block_lies_on_the_way_to_the_deepest_stage() -> None:
    trunk = tiny()
    deepest = trunk.encode(torch.randn(1, 1, 16, 16, 16))[-1]
    gradients = torch.autograd.grad(deepest.square().sum(), trunk.shared_parameters())
    assert all(bool(gradient.any()) for gradient in gradients)


def test_a_block_whose_residual_is_nothing_passes_positive_values_on() -> None:
    block = Bottleneck(32, 8, stride=1)
    with torch.no_grad():
        for parameter in block.residual[-1].parameters():
            parameter.zero_()
    values = torch.rand(1, 32, 4, 4, 4)
    assert torch.equal(block(values), values)


def test_resnet50_has_its_number_of_convolution_weights() -> None:
    trunk = ResNetEncoder(num_classes=1)
    convolutions = [m for m in trunk.modules() if isinstance(m, torch.nn.Conv3d)]
    # 1 stem, 3 in each of 16 blocks and 4 shortcuts
    assert len(convolutions) == 1 + 3 * 16 + 4
    norms = num_parameters(trunk) - sum(m.weight.numel() for m in convolutions)
    assert norms == 2 * sum(m.out_channels for m in convolutions)
