"""The reconstruction branch rebuilds the patch in training, and is gone afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.catalogue.starter import STARTER
from engine.networks.build import build
from engine.networks.c2fnas import C2FNAS
from engine.networks.resenc import canonical_state, num_parameters
from engine.networks.vae import Reconstruction, VaeHead, is_train_only, strip, strip_system
from engine.system import Part, System

_PATCH = (32, 48, 32)


def _system(trunk: Part, patch_shape: tuple[int, int, int] = _PATCH) -> System:
    return replace(
        STARTER,
        network=trunk,
        heads=(Part("segmentation"), Part("vae", {"latent": 6})),
        training=replace(STARTER.training, patch_shape=patch_shape),
    )


_SEARCHED = Part("c2fnas", {"width": 2})
_FLAT = Part(
    "resenc_unet", {"features": (4, 8, 8), "num_blocks": (1, 1, 1), "strides": (1, (1, 2, 2), 2)}
)


@pytest.mark.parametrize(("trunk", "patch_shape"), [(_SEARCHED, _PATCH), (_FLAT, (6, 12, 20))])
def test_the_rebuilt_patch_has_the_shape_of_the_patch(
    trunk: Part, patch_shape: tuple[int, int, int]
) -> None:
    rebuilt = build(_system(trunk, patch_shape)).outputs(torch.randn(2, 1, *patch_shape))["vae"]
    assert rebuilt.image_BCDHW.shape == (2, 1, *patch_shape)
    assert rebuilt.mean_BF.shape == rebuilt.sd_BF.shape == (2, 6)
    assert bool((rebuilt.sd_BF > 0).all())


def test_reducing_and_dense_layers_hold_0_39_million_parameters() -> None:
    system = _system(Part("c2fnas"), (96, 96, 96))
    with torch.device("meta"):
        head = VaeHead(system, C2FNAS(num_classes=3))
    parts = (head.reduce, head.mean, head.spread, head.expand, head.rebuild[0])
    assert sum(map(num_parameters, parts)) == 392_144


def test_in_evaluation_nothing_is_rebuilt() -> None:
    with torch.inference_mode():
        outputs = build(_system(_SEARCHED)).eval().outputs(torch.zeros(1, 1, *_PATCH))
    assert outputs["vae"] is None


def test_without_spread_the_same_patch_is_rebuilt_in_the_same_way() -> None:
    network = build(_system(_SEARCHED))
    head = network.heads["vae"]
    assert isinstance(head, VaeHead)
    image = torch.randn(1, 1, *_PATCH)

    def rebuild() -> Reconstruction:
        return network.outputs(image)["vae"]

    assert not torch.equal(rebuild().image_BCDHW, rebuild().image_BCDHW)
    torch.nn.init.constant_(head.spread.bias, -1e4)
    assert torch.equal(rebuild().image_BCDHW, rebuild().image_BCDHW)


def test_the_reconstruction_teaches_the_encoder_but_not_the_decoder() -> None:
    network = build(_system(_SEARCHED))
    image = torch.randn(1, 1, *_PATCH)
    network.outputs(image)["vae"].image_BCDHW.square().mean().backward()
    assert isinstance(network.trunk, C2FNAS)
    assert all(p.grad is not None for p in network.trunk.encoder.parameters())
    assert all(p.grad is None for p in network.trunk.decoder.parameters())


def test_stripping_leaves_the_network_of_the_system_without_the_branch() -> None:
    system = _system(_SEARCHED)
    network = build(system).eval()
    stripped = strip(network)
    assert list(network.heads) == ["vae"]
    assert list(stripped.heads) == []
    assert strip_system(system).head_names == ("segmentation",)
    assert list(canonical_state(stripped)) == list(canonical_state(build(strip_system(system))))
    image = torch.randn(1, 1, *_PATCH)
    with torch.inference_mode():
        one, other = network(image)["segmentation"], stripped(image)["segmentation"]
    assert torch.equal(one, other)
    assert not stripped.training


def test_only_the_reconstruction_is_for_training_alone() -> None:
    assert is_train_only("vae")
    assert not is_train_only("segmentation")
