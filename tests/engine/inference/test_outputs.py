"""All heads look at a window in the same pass, and a case is what they say together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.case import Case
from engine.components import find_components
from engine.data.prepare import Prepared, prepare
from engine.evaluation.detection import iou
from engine.finding import Box
from engine.geometry import from_spacing
from engine.inference.classify import subtype_probabilities
from engine.inference.detect import Boxes
from engine.inference.model import Model
from engine.inference.outputs import Outputs, finds_lesions, infer_case
from engine.inference.plausible import plausible
from engine.inference.predict import predict
from engine.system import Part, System
from engine.volume import LabelMap, Volume
from tests.engine.inference.toys import (
    DensityNetwork,
    DetectingNetwork,
    reordered,
    toy_geometry,
    toy_system,
    toy_volume,
)

CPU = torch.device("cpu")
HEADS = {
    "both": (Part("segmentation"), Part("detection")),
    "boxes": (Part("detection"),),
}


def toy(
    heads: str | tuple[Part, ...], *, probability: float = 0.9, **inference: object
) -> tuple[System, Model]:
    parts = HEADS[heads] if isinstance(heads, str) else heads
    system = replace(toy_system(region_margin_mm=None, **inference), heads=parts)
    network = DetectingNetwork(system.preparation, probability).eval()
    return system, Model(system, network, None, CPU, "fp32", "0" * 64)  # pyright: ignore


def case(volume: Volume | None = None) -> Case:
    return Case("case-7", volume or toy_volume(toy_geometry((60, 110, 120)), organ_mm=(9.0, -7, 5)))


def lesion_box(seen: Case) -> Box:
    """Return the true box of the lesion, off the densities."""
    labels = (seen.volume.voxels_hu > 150).astype(np.uint8)
    (component,) = find_components(LabelMap(labels, {1: "lesion"}, seen.volume.geometry), "lesion")
    return component.box_mm


@pytest.mark.parametrize("mirror_axes", [(), (0, 2)])
def test_every_window_is_passed_once_for_all_heads(mirror_axes: tuple[int, ...]) -> None:
    system, model = toy("both", patch_shape=(16, 32, 32), step=1.0, mirror_axes=mirror_axes)
    image = np.zeros((32, 32, 64), np.float32)
    outputs = infer_case(model.network, system, image, device=CPU, precision="fp32")
    assert model.network.num_calls == 4 * 2 ** len(mirror_axes)
    assert outputs.probabilities_KDHW is not None
    assert outputs.probabilities_KDHW.shape == (3, 32, 32, 64)
    assert len(outputs.boxes) == 0


def test_a_system_that_looks_nowhere_in_particular_passes_no_window() -> None:
    system, model = toy((Part("subtype_joint"),))
    image = np.zeros((16, 32, 32), np.float32)
    outputs = infer_case(model.network, system, image, device=CPU, precision="fp32")
    assert outputs.probabilities_KDHW is None
    assert model.network.num_calls == 0
    assert not finds_lesions(system)


@pytest.mark.parametrize("shape", [(5, 20, 70), (32, 64, 64), (40, 70, 90)])
def test_outputs_lie_on_the_grid_of_the_image_whatever_its_size(shape: tuple) -> None:
    system, model = toy("both", patch_shape=(16, 32, 32))
    image = np.zeros(shape, np.float32)
    image[1:4, 5:9, 30:36] = 1.5  # 200 HU
    outputs = infer_case(model.network, system, image, device=CPU, precision="fp32")
    assert outputs.probabilities_KDHW is not None
    assert outputs.probabilities_KDHW.shape[1:] == shape
    np.testing.assert_allclose(outputs.boxes.corners_N6, [(1, 5, 30, 4, 9, 36)], atol=0.5)
    np.testing.assert_allclose(outputs.boxes.probabilities_N, [0.9], atol=0.05)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_detected_lesion_is_boxed_where_it_lies_in_the_patient(order: tuple) -> None:
    scan = toy_volume(toy_geometry((60, 110, 120)), organ_mm=(9.0, -7, 5))
    seen = case(reordered(scan, order, (True, False, True)))
    # One window holds the body, so the box is the lesion's to the voxel.
    _, model = toy("boxes", patch_shape=(64, 128, 128))
    prediction = predict(seen, model)
    (finding,) = prediction.findings
    truth = lesion_box(seen)
    assert finding.box_mm.lower_mm == pytest.approx(truth.lower_mm, abs=1e-3)
    assert finding.box_mm.upper_mm == pytest.approx(truth.upper_mm, abs=1e-3)
    assert finding.probability == pytest.approx(0.9, abs=1e-6)
    assert not finding.is_outlined
    assert finding.longest_diameter_mm == pytest.approx(17.0, abs=1.0)
    assert 100 < finding.mean_hu < 200


def test_boxes_of_overlapping_windows_make_one_finding() -> None:
    _, model = toy("boxes", patch_shape=(24, 48, 48), box_threshold=0.3)
    seen = case()
    (finding, *others) = predict(seen, model).findings
    assert not others
    assert iou(finding.box_mm, lesion_box(seen)) > 0.8


def test_a_system_without_segmentation_labels_nothing_but_keeps_the_grid() -> None:
    seen = case()
    prediction = predict(seen, toy("boxes")[1])
    assert prediction.labels.geometry.is_same_as(seen.volume.geometry)
    assert not prediction.labels.labels.any()
    assert dict(prediction.labels.names) == {2: "lesion"}
    assert prediction.route == "full"


@pytest.mark.parametrize("probability", [0.2, 0.999])
def test_a_box_can_raise_an_outlined_lesion_and_never_lowers_it(probability: float) -> None:
    seen = case()
    alone = predict(seen, toy((Part("segmentation"),))[1])
    _, model = toy("both", probability=probability, patch_shape=(64, 128, 128))
    both = predict(seen, model)
    (before,), (after,) = alone.findings, both.findings
    assert after.is_outlined
    assert after.probability == pytest.approx(max(before.probability, probability), abs=1e-5)
    assert replace(after, probability=before.probability) == before
    np.testing.assert_array_equal(alone.labels.labels, both.labels.labels)


@pytest.mark.parametrize(("threshold", "num_found"), [(0.3, 1), (0.7, 0)])
def test_a_box_that_no_outline_confirms_counts_from_the_systems_threshold(
    threshold: float, num_found: int
) -> None:
    # No voxel reaches the lesion threshold, so nothing is outlined.
    _, model = toy(
        "both",
        probability=0.5,
        patch_shape=(64, 128, 128),
        lesion_threshold=1.1,
        box_threshold=threshold,
    )
    findings = predict(case(), model).findings
    assert [finding.is_outlined for finding in findings] == [False] * num_found
    assert [finding.finding_id for finding in findings] == ["lesion-1"] * num_found


def test_boxes_far_from_the_organ_are_dropped_like_stray_voxels() -> None:
    prepared = _prepared((40, 60, 60))
    probabilities = np.zeros((3, 40, 60, 60), np.float32)
    probabilities[0] = 1.0
    probabilities[:, 10:20, 20:30, 20:30] = np.array([0, 1, 0])[:, None, None, None]
    near, far = (18, 28, 28, 24, 34, 34), (32, 20, 55, 36, 24, 59)
    boxes = Boxes(np.array([near, far], np.float32), np.array([0.9, 0.8], np.float32))
    kept = plausible(Outputs(probabilities.copy(), boxes), prepared).boxes
    np.testing.assert_array_equal(kept.corners_N6, [near])
    assert len(plausible(Outputs(None, boxes), prepared).boxes) == 2
    probabilities[0], probabilities[1] = 1.0, 0.0
    assert len(plausible(Outputs(probabilities, boxes), prepared).boxes) == 2


class SubtypeNetwork(DensityNetwork):
    """Calls the subtype by the mean density of its window."""

    def __init__(self, system: System, head: str) -> None:
        super().__init__(system.preparation)
        self.heads[head] = nn.Identity()
        self.windows: list[Tensor] = []

    def outputs(self, image_BCDHW: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
        self.windows.append(image_BCDHW)
        mean = image_BCDHW.mean((1, 2, 3, 4))
        return {name: torch.stack([mean, -mean, 0 * mean], dim=1) for name in names}


def subtype_toy(
    head: str, patch_shape: tuple[int, int, int], *, segments: bool = True
) -> tuple[SubtypeNetwork, Model]:
    system = toy_system(patch_shape=(64, 128, 128), region_margin_mm=None)
    system = replace(
        system,
        heads=(*(system.heads if segments else ()), Part(head)),
        training=replace(system.training, patch_shape=patch_shape),
        subtypes=("solid", "enhancing", "cystic"),
    )
    network = SubtypeNetwork(system, head).eval()
    return network, Model(system, network, None, CPU, "fp32", "0" * 64)  # pyright: ignore


def _prepared(shape: tuple[int, int, int]) -> Prepared:
    geometry = from_spacing(shape, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    return prepare(Volume(np.zeros(shape, np.int16), geometry), toy_system().preparation)


@pytest.mark.parametrize("head", ["subtype_joint", "densenet"])
def test_a_joint_head_is_shown_the_patch_it_was_trained_with_around_the_lesion(head: str) -> None:
    network, model = subtype_toy(head, (16, 24, 24))
    prediction = predict(case(), model)
    (window,) = network.windows
    assert window.shape == (1, 1, 16, 24, 24)
    bright = np.argwhere(window[0, 0].numpy() > 1.4)
    np.testing.assert_allclose((bright.min(0) + bright.max(0)) / 2, (8, 12, 12), atol=1.0)
    mean = float(window.mean())
    expected = torch.tensor([mean, -mean, 0.0]).softmax(0).tolist()
    assert prediction.subtype_probabilities == pytest.approx(expected, abs=1e-5)
    assert prediction.findings[0].subtype == int(np.argmax(expected))


def test_a_network_of_single_slices_is_asked_about_several_of_the_lesion() -> None:
    network, model = subtype_toy("subtype_joint", (1, 32, 32))
    prediction = predict(case(), model)
    # The lesion spans 16 mm in slices of 2 mm.
    assert 7 <= len(network.windows) <= 9
    assert all((window > 1.4).any() for window in network.windows)
    means = torch.stack([window.mean() for window in network.windows])
    answers = torch.stack([means, -means, 0 * means], dim=1).softmax(1).mean(0)
    assert prediction.subtype_probabilities == pytest.approx(answers.tolist(), abs=1e-5)


def test_a_long_lesion_is_asked_about_in_sixteen_slices_from_end_to_end() -> None:
    network, model = subtype_toy("subtype_joint", (1, 16, 16))
    probabilities = np.zeros((3, 60, 40, 40), np.float32)
    probabilities[2, 5:45, 18:22, 18:22] = 1.0
    prepared = _prepared((60, 40, 40))
    prepared.image[...] = np.arange(60)[:, None, None]
    subtype_probabilities(model, prepared, Outputs(probabilities))
    seen = [int(window.mean()) for window in network.windows]
    assert (len(seen), seen[0], seen[-1]) == (16, 5, 44)


@pytest.mark.parametrize("found", ["nothing", "pancreas", "box"])
def test_without_an_outlined_lesion_the_next_best_place_is_looked_at(found: str) -> None:
    network, model = subtype_toy("subtype_joint", (8, 8, 8))
    prepared = _prepared((40, 40, 40))
    image = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij")).sum(0)
    prepared.image[...] = image
    probabilities = np.zeros((3, 40, 40, 40), np.float32)
    outputs = {
        "nothing": Outputs(None),
        "pancreas": Outputs(probabilities),
        "box": Outputs(None, Boxes(np.array([[8, 4, 20, 12, 8, 24]], np.float32), np.ones(1))),
    }[found]
    if found == "pancreas":
        probabilities[1, 8:13, 4:9, 20:25] = 1.0
    centre = (20, 20, 20) if found == "nothing" else (10, 6, 22)
    subtype_probabilities(model, prepared, outputs)
    middle = float(network.windows[0][0, 0, 4, 4, 4])
    assert middle == pytest.approx(sum(centre), abs=1.5)


def test_a_system_that_only_classifies_tells_the_subtype_without_a_finding() -> None:
    _, model = subtype_toy("subtype_joint", (16, 24, 24), segments=False)
    prediction = predict(case(), model)
    assert prediction.findings == ()
    assert sum(prediction.subtype_probabilities) == pytest.approx(1.0, abs=1e-5)
    assert "classify" in prediction.seconds


def test_a_system_that_looks_for_lesions_and_finds_none_tells_no_subtype() -> None:
    _, model = subtype_toy("subtype_joint", (16, 24, 24))
    healthy = case(toy_volume(toy_geometry((60, 110, 120)), lesion_radius_mm=0.0))
    prediction = predict(healthy, model)
    assert (prediction.findings, prediction.subtype_probabilities) == ((), ())
