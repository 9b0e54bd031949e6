"""Every kind of system looks at a case, and is the same after it was written and read."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.case import Case
from engine.inference.memory import attempts
from engine.inference.model import WeightsError, load_model, save_model
from engine.inference.outputs import infer_case
from engine.inference.predict import predict
from engine.networks.build import MultitaskNetwork, build
from engine.networks.resenc import canonical_state
from engine.system import Inference, Part, Preparation, System, Training
from tests.engine.inference.toys import toy_volume

CPU = torch.device("cpu")
_COARSE = Preparation((4.0, 3.0, 3.0), (-100.0, 300.0), hu_mean=50.0, hu_sd=100.0)
_RESENC = Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)})
_FLAT = Part(
    "resenc_unet",
    {
        "features": (4, 8),
        "num_blocks": (1, 1),
        "strides": (1, (1, 2, 2)),
        "kernel_sizes": ((1, 3, 3), (1, 3, 3)),
    },
)
_SWIN = {"feature_size": 6, "depths": (1, 1, 1, 1), "heads": (1, 2, 3, 6), "window": 2}
_SEGMENTATION = Part("segmentation")
_STAGED = Part("subtype", {"num_stages": 1, "hidden": 4})
_JOINT = Part("subtype_joint", {"taps": (-1,)})
_DENSENET = Part(
    "densenet", {"blocks": (1, 1, 1, 1), "growth": 4, "init_features": 8, "norm": "batch"}
)


def _detection(*levels: int) -> Part:
    params = {
        "levels": levels,
        "anchors": ((4, 4, 4), (8, 8, 8)),
        "scales": (1.0,) * len(levels),
        "channels": 8,
        "num_convs": 1,
        "score": 0.0,
        "per_level": 20,
        "overlap": 0.2,
        "max_boxes": 5,
    }
    return Part("detection", params)


# name: (network, heads, patch shape)
KINDS: dict[str, tuple[Part, tuple[Part, ...], tuple[int, int, int]]] = {
    "segmentation": (_RESENC, (_SEGMENTATION,), (16, 32, 32)),
    "staged subtype": (_RESENC, (_SEGMENTATION, _STAGED), (16, 32, 32)),
    "joint subtype": (_RESENC, (_SEGMENTATION, _JOINT), (16, 32, 32)),
    "single slices": (_FLAT, (_SEGMENTATION, _JOINT), (1, 32, 32)),
    "with a detector": (_RESENC, (_SEGMENTATION, _detection(-1), _JOINT), (16, 32, 32)),
    "train-only branch": (
        Part("c2fnas", {"width": 4}),
        (_SEGMENTATION, Part("vae", {"latent": 4})),
        (32, 32, 32),
    ),
    "swin multitask": (
        Part("swin_unetr", _SWIN),
        (_SEGMENTATION, _detection(-2, -1), _DENSENET),
        (32, 32, 64),
    ),
    "swin detection": (Part("swin_encoder", _SWIN), (_detection(-2, -1),), (32, 32, 64)),
    "swin classification": (Part("swin_encoder", _SWIN), (_JOINT,), (32, 32, 64)),
    "retinanet": (
        Part("resnet_encoder", {"features": (8, 8, 8, 8), "num_blocks": (1, 1, 1, 1)}),
        (_detection(-2, -1),),
        (32, 32, 64),
    ),
}


def kind(name: str) -> System:
    network, heads, patch_shape = KINDS[name]
    has_subtype = any(head.name in ("subtype", "subtype_joint", "densenet") for head in heads)
    return System(
        name="kind",
        title=name,
        source="tests",
        network=network,
        heads=heads,
        preparation=_COARSE,
        training=Training(patch_shape, 1, 1, 1, Part("sgd"), ()),
        inference=Inference(patch_shape=patch_shape, step=1.0, box_threshold=0.0),
        subtypes=("solid", "enhancing", "cystic") if has_subtype else (),
    )


@cache
def untrained(name: str) -> MultitaskNetwork:
    torch.manual_seed(0)
    network = build(kind(name)).eval()
    for state, tensor in canonical_state(network).items():
        # Statistics as a training would leave them.
        if state.endswith(("running_var", "num_batches_tracked")):
            network.state_dict(keep_vars=True)[state].fill_(3001)
        assert tensor.device == CPU
    return network


@cache
def scan() -> Case:
    return Case("case-7", toy_volume())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("weights")

    def path_of(name: str) -> Path:
        path = folder / f"{name.replace(' ', '-')}.safetensors"
        if not path.exists():
            save_model(kind(name), untrained(name), None, path)
        return path

    return path_of


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_system_predicts(name: str, written) -> None:
    system = kind(name)
    model = load_model(system, "cpu", written(name))
    prediction = predict(scan(), model)
    heads = system.head_names
    assert prediction.labels.geometry.is_same_as(scan().volume.geometry)
    assert prediction.route == "full"
    assert ("segmentation" in heads) == ("pancreas" in prediction.labels.names.values())
    assert all(0 <= finding.probability <= 1 for finding in prediction.findings)
    if "detection" in heads:
        assert any(not finding.is_outlined for finding in prediction.findings)
        _check_inside_scan(prediction)
    says_subtype = bool(system.subtypes) and (bool(prediction.findings) or len(heads) == 1)
    assert len(prediction.subtype_probabilities) == 3 * says_subtype
    if says_subtype:
        assert sum(prediction.subtype_probabilities) == pytest.approx(1.0, abs=1e-3)


def _check_inside_scan(prediction) -> None:
    geometry = prediction.labels.geometry
    for finding in prediction.findings:
        ends = geometry.to_index([finding.box_mm.lower_mm, finding.box_mm.upper_mm])
        # The prepared grid ends within a voxel of its own, 4 mm, of the scan's end.
        assert (ends.min(0) >= -4.5).all()
        assert (ends.max(0) <= np.array(geometry.shape) + 3.5).all()


@pytest.mark.parametrize("name", KINDS)
def test_weights_of_every_kind_come_back(name: str, written) -> None:
    loaded = load_model(kind(name), "cpu", written(name)).network
    assert not loaded.training
    assert "vae" not in loaded.heads
    before = canonical_state(untrained(name))
    after = canonical_state(loaded)
    assert set(after) == {key for key in before if not key.startswith("heads.vae.")}
    for key, tensor in after.items():
        assert tensor.dtype == before[key].dtype
        is_whole = key.startswith("subtype.") or key.endswith(("running_mean", "running_var"))
        is_kept = is_whole or not tensor.is_floating_point()
        expected = before[key] if is_kept else before[key].half().float()
        assert torch.equal(tensor, expected), key


def test_counters_and_statistics_beyond_half_precision_survive(written) -> None:
    # 3001 is no number of half precision, which counts in twos from 2048 on.
    after = canonical_state(
        load_model(kind("swin multitask"), "cpu", written("swin multitask")).network
    )
    counted = [t for key, t in after.items() if key.endswith(("running_var", "batches_tracked"))]
    assert counted
    assert all(bool((tensor == 3001).all()) for tensor in counted)


@pytest.mark.parametrize("name", ["train-only branch", "swin multitask", "swin detection"])
def test_broken_and_foreign_weights_are_refused_in_a_sentence(
    name: str, written, tmp_path: Path
) -> None:
    whole, path = written(name).read_bytes(), tmp_path / "w.safetensors"
    pickled = io.BytesIO()
    pickle.dump({"main.trunk": [1, 2, 3]}, pickled)
    saved = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, saved)
    cut = (whole[: len(whole) // 2], whole[:-1], b"\0" * 64)
    contents = (*cut, pickled.getvalue(), saved.getvalue())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(WeightsError) as caught:
            load_model(kind(name), "cpu", path)
        assert caught.value.message == "The weights of the system 'kind' are damaged."
        assert caught.value.remedy == "Reinstall Islet, train the system, or choose another one."


def test_a_file_without_our_mark_or_with_another_systems_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"main.trunk.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="belong to another system"):
        load_model(kind("segmentation"), "cpu", path)
    about = {"islet": json.dumps({"format": "islet-weights-1", "system": "kind"})}
    save_file({"main.trunk.weight": torch.zeros(3)}, path, metadata=about)
    with pytest.raises(WeightsError, match="do not fit its network"):
        load_model(kind("segmentation"), "cpu", path)


def test_weights_of_one_kind_do_not_fit_another(written) -> None:
    with pytest.raises(WeightsError, match="do not fit its network"):
        load_model(kind("retinanet"), "cpu", written("swin detection"))


@pytest.mark.parametrize("name", ["swin multitask", "swin detection", "joint subtype"])
def test_every_kind_works_in_the_smaller_windows_that_save_memory(name: str) -> None:
    system = kind(name)
    double = (64, 64, 64)
    larger = replace(system, inference=replace(system.inference, patch_shape=double))
    network = untrained(name)
    stride = network.trunk.stage_strides[-1]
    smaller = attempts(double, CPU, "fp32", stride)[1].patch_shape
    assert all(a % b == 0 for a, b in zip(smaller, stride, strict=True))
    assert np.prod(smaller) <= np.prod(double) / 2
    image = np.zeros((20, 40, 40), np.float32)
    outputs = infer_case(network, larger, image, device=CPU, precision="fp32", patch_shape=smaller)
    if outputs.probabilities_KDHW is not None:
        assert outputs.probabilities_KDHW.shape == (3, 20, 40, 40)


def test_the_same_case_gives_the_same_answer_twice(written) -> None:
    model = load_model(kind("with a detector"), "cpu", written("with a detector"))
    first, second = predict(scan(), model), predict(scan(), model)
    assert first.findings == second.findings
    assert first.subtype_probabilities == second.subtype_probabilities
