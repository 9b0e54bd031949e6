"""The Swin trunks are MONAI's layer by layer, and their sizes those of MTMed3D's Table VI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from engine.catalogue.starter import STARTER
from engine.networks.build import build
from engine.networks.resenc import num_parameters
from engine.networks.swin import SwinEncoder, SwinUNETR
from engine.system import Part, System
from engine.training.batch import Batch
from engine.training.losses import LOSSES

_SMALL: Mapping[str, Any] = {"feature_size": 12, "heads": (1, 2, 4, 8), "window": 4}
_LOSSES = {"segmentation": "dice_ce", "detection": "retinanet", "densenet": "focal_ce"}


def mtmed3d(trunk: str, *heads: str) -> System:
    """Return the source's system: four channels, two grades, no stage of stride 2."""
    detection = {"levels": (-4, -3, -2, -1), "anchors": [(5, 5, 5)] * 5, "scales": (1, 2, 4, 8)}
    parts = {
        "segmentation": Part("segmentation"),
        "detection": Part("detection", detection),
        "densenet": Part("densenet", {"sees": "logits", "norm": "batch"}),
    }
    return replace(
        STARTER,
        network=Part(trunk, {"in_channels": 4}),
        heads=tuple(parts[head] for head in heads),
        subtypes=("low grade", "high grade"),
        localiser=None,
    )


def test_the_networks_of_mtmed3d_have_the_sizes_of_its_table() -> None:
    joint = build(mtmed3d("swin_unetr", "segmentation", "detection", "densenet"))
    assert isinstance(joint.trunk, SwinUNETR)
    assert num_parameters(joint.trunk.swin) == 8_063_154
    assert num_parameters(joint.trunk) == 62_191_941
    assert num_parameters(joint.heads["detection"]) == 3_218_051
    assert num_parameters(joint.heads["densenet"]) == 11_288_578
    assert num_parameters(joint) == 76_698_570
    alone = [
        num_parameters(build(mtmed3d(trunk, head)))
        for trunk, head in (("swin_encoder", "detection"), ("swin_unetr", "densenet"))
    ]
    assert alone == [11_281_205, 73_480_519]
    separate = num_parameters(joint.trunk) + sum(alone)
    assert separate == 146_953_665
    assert 100 * (1 - 76_698_570 / separate) == pytest.approx(47.81, abs=0.005)


def test_the_parts_of_the_detector_have_the_sizes_of_the_source() -> None:
    system = mtmed3d("swin_encoder", "detection")
    network = build(replace(system, network=Part("swin_encoder")))
    assert num_parameters(network.trunk) == 8_062_002
    parts = {
        name: num_parameters(part) for name, part in network.heads["detection"].named_children()
    }
    assert parts == {"neck": 1_134_336, "classes": 1_009_445, "boxes": 1_074_270}


def test_swin_unetr_of_one_channel_has_the_size_of_the_published_one() -> None:
    assert num_parameters(SwinUNETR(num_classes=3)) == 62_186_757
    assert num_parameters(SwinUNETR(num_classes=14)) == 62_187_296
    assert num_parameters(SwinUNETR(num_classes=14, feature_size=24)) == 15_703_304


def test_the_same_weights_give_the_logits_of_monai() -> None:
    from monai.networks.nets.swin_unetr import SwinUNETR as Theirs

    torch.manual_seed(0)
    ours = SwinUNETR(num_classes=3, **_SMALL).eval()
    theirs = Theirs(1, 3, feature_size=12, num_heads=(1, 2, 4, 8), window_size=4).eval()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    with torch.inference_mode():
        for mine, other in pairs:
            other.copy_(mine)
        image = torch.randn(1, 1, 32, 32, 64)
        torch.testing.assert_close(ours.decode(ours.encode(image))[0], theirs(image))


def test_stages_are_as_announced() -> None:
    image = torch.zeros(1, 1, 32, 32, 64)
    for trunk in (SwinUNETR(num_classes=2, **_SMALL), SwinEncoder(num_classes=2, **_SMALL)):
        stages = trunk.encode(image)
        assert tuple(stage.shape[1] for stage in stages) == trunk.stage_features
        strides = tuple(
            tuple(whole // part for whole, part in zip(image.shape[2:], s.shape[2:], strict=True))
            for s in stages
        )
        assert strides == trunk.stage_strides


def test_without_a_decoder_there_are_no_logits() -> None:
    trunk = SwinEncoder(num_classes=2, **_SMALL)
    assert trunk.decode(trunk.encode(torch.zeros(1, 1, 32, 32, 32))) == ()


def test_an_edge_that_is_no_multiple_of_32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32, got \(32, 48, 64\)"):
        SwinEncoder(num_classes=2, **_SMALL).encode(torch.zeros(1, 1, 32, 48, 64))


def test_every_task_reaches_the_shared_block_that_balances_them() -> None:
    torch.manual_seed(0)
    detection = {"levels": (-4, -3, -2, -1), "anchors": [(6, 6, 6)], "scales": (1, 2, 4, 8)}
    system = replace(
        STARTER,
        network=Part("swin_unetr", _SMALL),
        heads=(
            Part("segmentation"),
            Part("detection", {**detection, "channels": 8, "num_convs": 1}),
            Part("densenet", {"blocks": (1, 1), "growth": 8, "init_features": 8}),
        ),
    )
    network = build(system).train()
    batch = Batch(
        torch.randn(1, 1, 32, 32, 64),
        torch.randint(0, 3, (1, 32, 32, 64)),
        torch.ones(1, 2, dtype=torch.bool),
        (torch.tensor([[8.0, 9, 20, 16, 15, 31]]),),
        torch.tensor([1]),
    )
    outputs = network.outputs(batch.image_BCDHW)
    assert isinstance(network.trunk, SwinUNETR)
    decoder = tuple(network.trunk.out.parameters())
    for name, output in outputs.items():
        loss = LOSSES.get(_LOSSES[name])(output, batch)
        shared = network.trunk.shared_parameters()
        found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        assert sum(float(g.norm()) for g in found if g is not None) > 0, name
        # The source balances on the decoder's last layer, where detection has no gradient.
        last = torch.autograd.grad(loss, decoder, retain_graph=True, allow_unused=True)
        assert (name == "detection") == all(gradient is None for gradient in last)
