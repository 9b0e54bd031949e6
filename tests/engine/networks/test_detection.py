"""The detector speaks about the right places, and learns to find a lesion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.catalogue.starter import STARTER
from engine.networks.boxes import centres, encode, iou
from engine.networks.build import MultitaskNetwork, build
from engine.networks.detection import Detection, DetectionHead, Selection, decode, select
from engine.system import Part, System
from engine.training.batch import UNKNOWN_SUBTYPE, Batch
from engine.training.detection_loss import retinanet

_ANCHORS = ((5.0, 6.0, 6.0), (8.0, 7.0, 7.0))


def toy(**params: object) -> System:
    defaults = {"levels": (1, 2), "anchors": _ANCHORS, "scales": (1.0, 2.0), "channels": 16}
    network = Part(
        "resenc_unet", {"features": (8, 16, 16), "num_blocks": (1, 1, 1), "strides": (1, 2, 2)}
    )
    return replace(
        STARTER,
        network=network,
        heads=(Part("detection", {**defaults, "num_convs": 1, **params}),),
        localiser=None,
    )


def head_of(network: MultitaskNetwork) -> DetectionHead:
    head = network.heads["detection"]
    assert isinstance(head, DetectionHead)
    return head


def test_every_anchor_has_a_class_and_a_box() -> None:
    network = build(toy()).eval()
    with torch.inference_mode():
        output = network.outputs(torch.zeros(2, 1, 16, 8, 24))["detection"]
    assert output.level_sizes == (8 * 4 * 12 * 2, 4 * 2 * 6 * 2)
    assert output.class_logits_BN.shape == (2, sum(output.level_sizes))
    assert output.box_deltas_BN6.shape == (2, sum(output.level_sizes), 6)
    assert output.anchors_N6.shape == (sum(output.level_sizes), 6)


def test_an_untrained_detector_believes_in_one_lesion_per_hundred_anchors() -> None:
    torch.manual_seed(0)
    network = build(toy()).eval()
    with torch.inference_mode():
        output = network.outputs(torch.randn(1, 1, 16, 16, 16))["detection"]
        _, probabilities = decode(output)
    assert float(probabilities.mean()) == pytest.approx(0.01, rel=0.2)


def test_what_a_place_shows_is_said_about_the_anchors_there() -> None:
    torch.manual_seed(0)
    network = build(toy(num_convs=0, neck="fpn", levels=(1,), scales=(1.0,)))
    head = head_of(network)
    image = torch.zeros(1, 1, 16, 24, 32)
    blank = torch.zeros(1, 16, 8, 12, 16)
    marked = blank.clone()
    marked[0, :, 2, 9, 5] = 1.0
    empty = (torch.zeros(1, 8, 16, 24, 32), blank, torch.zeros(1, 16, 4, 6, 8))
    before = head(image, empty, ())
    after = head(image, (empty[0], marked, empty[2]), ())
    place = torch.tensor([2.5, 9.5, 5.5]) * 2
    for old, new in (
        (before.class_logits_BN[0, :, None], after.class_logits_BN[0, :, None]),
        (before.box_deltas_BN6[0], after.box_deltas_BN6[0]),
    ):
        changed = ((old - new).abs() > 0).any(1)
        distance = (centres(after.anchors_N6[changed]) - place).abs().amax(1)
        # Two convolutions of three positions reach two positions of two voxels.
        assert int(changed.sum()) == 5 * 5 * 5 * 2
        assert float(distance.max()) == 4.0


def test_decoding_gives_the_boxes_that_were_encoded() -> None:
    anchors = torch.tensor([[0.0, 0, 0, 8, 8, 8], [8.0, 8, 8, 16, 16, 16]])
    boxes = torch.tensor([[1.0, 2, 3, 9, 7, 8], [4.0, 4, 9, 20, 13, 14]])
    detection = Detection(torch.zeros(1, 2), encode(boxes, anchors)[None], anchors, (2,), 1)
    decoded, probabilities = decode(detection)
    torch.testing.assert_close(decoded[0], boxes)
    assert probabilities.tolist() == [[0.5, 0.5]]


def boxes_in_a_row(count: int) -> Tensor:
    start = 10.0 * torch.arange(count)[:, None].expand(count, 3)
    return torch.cat([start, start + 4], dim=1)


def test_selected_boxes_are_sure_enough_and_sorted() -> None:
    probabilities = torch.tensor([0.01, 0.4, 0.02, 0.9])
    boxes, chosen = select(boxes_in_a_row(4), probabilities, Selection(0.02, 9, 0.2, 9))
    assert chosen.tolist() == pytest.approx([0.9, 0.4, 0.02])
    assert boxes[:, 0].tolist() == [30, 10, 20]


def test_every_level_may_offer_its_surest_boxes_only() -> None:
    probabilities = torch.tensor([0.9, 0.8, 0.1, 0.2])
    _, chosen = select(boxes_in_a_row(4), probabilities, Selection(0.02, 1, 0.2, 9), (2, 2))
    assert chosen.tolist() == pytest.approx([0.9, 0.2])


def test_nothing_sure_enough_selects_nothing() -> None:
    boxes, chosen = select(boxes_in_a_row(2), torch.zeros(2), Selection(0.02, 9, 0.2, 9))
    assert boxes.shape == (0, 6)
    assert chosen.shape == (0,)


def test_levels_and_scales_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 levels need as many scales"):
        build(toy(scales=(1.0,)))


@pytest.mark.parametrize("neck", ["panet", "panet_concat"])
def test_a_detector_learns_to_find_the_lesions_of_one_patch(neck: str) -> None:
    torch.manual_seed(0)
    # No full resolution, as it would only cost time.
    trunk = {"features": (16, 16), "num_blocks": (1, 1), "strides": (2, 2)}
    system = toy(neck=neck, max_boxes=2, levels=(0, 1))
    network = build(replace(system, network=Part("resenc_unet", trunk))).train()
    lesions = torch.tensor([[4.0, 3, 5, 10, 9, 11], [10.0, 9, 11, 20, 23, 22]])
    image = 0.1 * torch.randn(1, 1, 24, 24, 24)
    for box in lesions.int().tolist():
        image[0, 0, box[0] : box[3], box[1] : box[4], box[2] : box[5]] += 1.0
    batch = Batch(
        image,
        torch.zeros(1, 24, 24, 24, dtype=torch.int64),
        torch.ones(1, 2, dtype=torch.bool),
        (lesions,),
        torch.tensor([UNKNOWN_SUBTYPE]),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(90):
        optimiser.zero_grad()
        retinanet(network.outputs(image)["detection"], batch).backward()
        optimiser.step()
    with torch.inference_mode():
        output = network.eval().outputs(image)["detection"]
    boxes, probabilities = decode(output)
    found, _ = select(boxes[0], probabilities[0], head_of(network).selection, output.level_sizes)
    assert bool((iou(lesions, found).amax(1) > 0.5).all())
