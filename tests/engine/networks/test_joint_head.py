"""The jointly trained subtype head is the paper's, and ours where a batch is one patch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.catalogue.starter import STARTER
from engine.networks.build import build
from engine.networks.joint_head import JointSubtypeHead, SingleSampleError, pool_stages
from engine.networks.resenc import ResEncUNet, num_parameters
from engine.networks.vae import strip_system
from engine.system import Part, System

_TINY = Part("resenc_unet", {"features": (4, 8, 16), "num_blocks": (1, 1, 1), "strides": (1, 2, 2)})


def _system(**params: object) -> System:
    heads = (Part("segmentation"), Part("subtype_joint", params))
    return replace(STARTER, network=_TINY, heads=heads)


def test_the_papers_head_pools_1792_numbers_into_1_055_235_parameters() -> None:
    with torch.device("meta"):
        trunk = ResEncUNet(
            num_classes=3,
            features=(32, 64, 128, 256, 320, 320),
            num_blocks=(1, 3, 4, 6, 6, 6),
            strides=(1, 2, 2, 2, 2, 2),
        )
        head = JointSubtypeHead(_system(), trunk)
    assert head.perceptron[2].in_features == 1792
    assert num_parameters(head) == 1_055_235


def test_every_pooled_vector_has_length_one() -> None:
    torch.manual_seed(0)
    pooled = pool_stages((torch.randn(2, 3, 4, 4, 4), 9 * torch.randn(2, 5, 2, 2, 2)))
    for vector in pooled.split((3, 3, 5, 5), dim=1):
        torch.testing.assert_close(vector.norm(dim=1), torch.ones(2))


def test_pooling_keeps_means_and_largest_values_of_each_channel() -> None:
    stage = torch.zeros(1, 2, 1, 1, 2)
    stage[0, 0] = torch.tensor([3.0, 3.0])
    stage[0, 1] = torch.tensor([0.0, 8.0])
    pooled = pool_stages((stage,))
    expected = torch.tensor([[3 / 5, 4 / 5, 3 / 73**0.5, 8 / 73**0.5]])
    torch.testing.assert_close(pooled, expected)


def test_only_the_tapped_stages_count() -> None:
    network = build(_system(taps=(2,), norm="layer"))
    stages = network.trunk.encode(torch.randn(1, 1, 8, 8, 8))
    head = network.heads["subtype_joint"].eval()
    other = (*(torch.zeros_like(stage) for stage in stages[:2]), stages[2])
    image = torch.zeros(1, 1, 8, 8, 8)
    assert torch.equal(head(image, stages, ()), head(image, other, ()))
    assert head(image, stages, ()).shape == (1, 3)


def test_learning_from_one_patch_with_batch_normalisation_is_refused_in_a_sentence() -> None:
    network = build(_system(taps=(1, 2)))
    with pytest.raises(SingleSampleError) as caught:
        network.outputs(torch.randn(1, 1, 8, 8, 8))
    assert caught.value.message == (
        "The subtype head normalises over the batch, and the batch holds a single patch."
    )
    assert caught.value.remedy == (
        "Train with at least two patches per device and accumulated part, or choose the head's norm"
        " 'layer'."
    )
    assert network.eval().outputs(torch.randn(1, 1, 8, 8, 8))["subtype_joint"].shape == (1, 3)


def test_layer_normalisation_treats_every_patch_on_its_own() -> None:
    torch.manual_seed(0)
    network = build(_system(taps=(1, 2), norm="layer"))
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    images = torch.randn(2, 1, 8, 8, 8)
    together = network.outputs(images)["subtype_joint"]
    alone = torch.cat([network.outputs(image[None])["subtype_joint"] for image in images])
    torch.testing.assert_close(together, alone)


def test_the_head_is_kept_at_inference() -> None:
    assert "subtype_joint" in strip_system(_system()).head_names
