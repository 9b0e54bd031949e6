"""nnU-Net is given the network, patch and spacing of Islet's plan."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.case import Case
from engine.catalogue import SYSTEMS
from engine.cli.benchmarks import nnunet_driver
from engine.cli.benchmarks.nnunet import PeerError, _specification, set_up_peer, why_no_peer
from engine.cli.benchmarks.training import _plan
from engine.data.dataset_writer import write_dataset
from engine.data.datasets import find_entries
from engine.geometry import from_spacing
from engine.networks.build import build
from engine.networks.resenc import num_parameters
from engine.volume import LabelMap, Volume

_PYTHON = os.environ.get("ISLET_NNUNET")
_PLANNED: dict[str, Any] = {"configurations": {"3d_fullres": {"batch_dice": True}}}


@pytest.mark.parametrize("size", ["toy", "small"])
def test_nnunet_is_told_to_build_the_very_network(size: str) -> None:
    plan = _plan("resenc_staged", size, 2, "cpu")
    planned = nnunet_driver._planned(_PLANNED, _specification(plan))["configurations"]["3d_fullres"]
    assert planned["patch_size"] == list(plan.patch_shape)
    assert planned["spacing"] == list(plan.spacing_mm)
    assert planned["batch_size"] == 2
    assert planned["batch_dice"] is True

    architecture = planned["architecture"]
    kwargs = {
        name: _found(value) if name in architecture["_kw_requires_import"] and value else value
        for name, value in architecture["arch_kwargs"].items()
    }
    theirs = _found(architecture["network_class_name"])(
        input_channels=1, num_classes=3, deep_supervision=True, **kwargs
    )
    assert str(theirs) == str(build(plan.system).trunk.unet)


def test_where_nnunet_is_not_measured_a_sentence_says_why() -> None:
    small = SYSTEMS.get("resenc_staged").at("small")
    assert why_no_peer(Path("python"), small) is None
    assert why_no_peer(None, small) == "Not measured: name nnU-Net's own Python with --nnunet."
    for other in ("unet", "resenc_multitask", "islet"):
        reason = why_no_peer(Path("python"), SYSTEMS.get(other).at("small"))
        assert reason is not None
        assert reason.startswith("Not measured: nnU-Net has no such network;")


def test_a_missing_environment_is_told_of(tmp_path: Path) -> None:
    plan = _plan("resenc_staged", "toy", 2, "cpu")
    with pytest.raises(PeerError) as caught:
        set_up_peer(tmp_path / "python", plan, (), tmp_path)
    assert caught.value.message == "The environment of nnU-Net is not there."
    assert "packaging/nnunet/make_environment.sh" in caught.value.remedy


def test_what_stopped_nnunet_is_told(tmp_path: Path) -> None:
    plan = _plan("resenc_staged", "toy", 2, "cpu")
    with pytest.raises(PeerError) as caught:
        # Islet's own environment has no nnU-Net.
        set_up_peer(Path(sys.executable), plan, (), tmp_path)
    assert caught.value.message.startswith("nnU-Net's trainer failed: ModuleNotFoundError")
    assert caught.value.remedy.endswith("make_environment.sh.")


@pytest.mark.skipif(_PYTHON is None, reason="ISLET_NNUNET names no Python that has nnU-Net")
def test_nnunet_trains_the_same_number_of_parameters(tmp_path: Path) -> None:
    grid = from_spacing((24, 40, 40), (6.0, 5.0, 5.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[8:16, 10:22, 10:22] = 1
    labels[10:13, 12:16, 12:16] = 2
    voxels = (np.random.default_rng(0).normal(0, 20, grid.shape) + labels * 50).astype(np.int16)
    names = {1: "pancreas", 2: "lesion"}
    looked_for = frozenset(names.values())
    case = Case("box", Volume(voxels, grid), LabelMap(labels, names, grid), looked_for, 0)
    write_dataset([case], tmp_path / "data")
    plan = _plan("resenc_staged", "toy", 2, "cpu")
    assert _PYTHON is not None
    peer = set_up_peer(Path(_PYTHON), plan, find_entries(tmp_path / "data"), tmp_path / "peer")
    speed = peer.samples_per_s(1)
    assert speed.num_parameters == num_parameters(build(plan.system).trunk)
    assert speed.version == "2.8.1"
    assert speed.with_loading > 0 < speed.without_loading


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)
