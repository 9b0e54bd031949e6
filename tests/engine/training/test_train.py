"""A whole system is trained from a data set, and what comes out predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case
from engine.catalogue.starter import LOCALISER, STARTER
from engine.cli.main import main
from engine.data.dataset_writer import write_dataset
from engine.geometry import from_spacing
from engine.inference.model import load_model
from engine.inference.predict import predict
from engine.system import Part
from engine.training.train import train_system
from engine.volume import LabelMap, Volume

_NETWORK = Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)})
_PATCH = (16, 16, 16)


def _tiny(system, spacing_mm: float):
    training = replace(
        system.training, patch_shape=_PATCH, epochs=2, steps_per_epoch=3, foreground_share=1.0
    )
    return replace(
        system,
        network=_NETWORK,
        training=training,
        preparation=replace(system.preparation, spacing_mm=(spacing_mm,) * 3),
        inference=replace(system.inference, patch_shape=_PATCH),
    )


_SYSTEM = replace(_tiny(STARTER, 4.0), localiser=_tiny(LOCALISER, 8.0))


def _case(number: int) -> Case:
    grid = from_spacing((24, 40, 40), (4.0, 4.0, 4.0))
    z, y, x = np.indices(grid.shape)
    labels = np.zeros(grid.shape, np.uint8)
    labels[((z - 12) / 6) ** 2 + ((y - 20) / 6) ** 2 + ((x - 20) / 10) ** 2 < 1] = 1
    labels[(z - 12) ** 2 + (y - 20) ** 2 + (x - 16) ** 2 < 9] = 2
    voxels = np.full(grid.shape, -60, np.int16)
    voxels[labels == 1] = 100
    voxels[labels == 2] = 20 + 100 * (number % 3)
    return Case(
        case_id=f"ball_{number}",
        volume=Volume(voxels, grid),
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid),
        annotated=frozenset({"pancreas", "lesion"}),
        subtype=number % 3,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("balls")
    write_dataset((_case(number) for number in range(6)), folder)
    return folder


def test_training_gives_weights_that_predict(dataset: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def on_epoch(system, record) -> None:
        told.append((system, record.epoch))

    weights = train_system(_SYSTEM, dataset, tmp_path, seed=0, on_epoch=on_epoch)
    parts = (LOCALISER.name, STARTER.name)
    assert told == [(part, epoch) for part in parts for epoch in (1, 2)]

    prediction = predict(_case(0), load_model(_SYSTEM, "cpu", weights))
    assert prediction.labels.geometry.is_same_as(_case(0).volume.geometry)

    first = weights.read_bytes()
    told.clear()
    train_system(_SYSTEM, dataset, tmp_path, seed=0, on_epoch=on_epoch)
    assert told == []
    assert weights.read_bytes() == first


def test_the_command_refuses_what_is_no_data_set(tmp_path: Path, capfd) -> None:
    code = main(["train", "starter", "--data", str(tmp_path), "--run", str(tmp_path / "run")])
    assert code == 2
    assert "it has no dataset.json" in capfd.readouterr().err


def test_evaluating_refuses_what_is_no_data_set(tmp_path: Path, capfd) -> None:
    (tmp_path / "data").mkdir()
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "report")]
    assert main(["evaluate", "starter", *arguments]) == 2
    assert "it has no dataset.json" in capfd.readouterr().err
    assert not (tmp_path / "report").exists()
