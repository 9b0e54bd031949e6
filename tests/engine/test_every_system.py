"""Every system of the catalogue is trained, kept, loaded and asked."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.archive.run_folder import EVENTS_FILE
from engine.archive.runs import read_details, read_run
from engine.catalogue import SYSTEMS
from engine.inference.model import load_model
from engine.inference.predict import predict
from engine.networks.build import MultitaskNetwork, joint_heads
from engine.run import Plan, RunState
from engine.system import System
from engine.training.conduct import conduct
from engine.training.state import start
from engine.training.train import Order
from tests.engine.training.tiny import ball_in_gland, write_balls

_CASE = ball_in_gland(100)
# nnU-Net gives the coarsest of its supervised outputs no weight.
_UNTRAINED = frozenset({"trunk.unet.decoder.seg_layers.0.weight"})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store for all: toys are prepared alike, and look for the same structures."""
    assert len({(toy.preparation, toy.structures) for toy in map(_toy, SYSTEMS.names())}) == 1
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("name", SYSTEMS.names())
def test_a_toy_is_trained_and_predicts(
    name: str, dataset: Path, store: Path, tmp_path: Path
) -> None:
    toy, run = _toy(name), tmp_path / "run"
    order = Order(toy, dataset, run, size="toy", device="cpu", precision="fp32", store=store)
    weights = conduct(order, {}, resume=False)

    model = load_model(toy, "cpu", weights)
    prediction = predict(_CASE, model)
    assert prediction.labels.geometry.is_same_as(_CASE.volume.geometry)
    assert all(math.isfinite(chance) for chance in prediction.subtype_probabilities)
    _check_history(toy, run)
    _check_weights(read_run(run).plan, model.network)
    if toy.localiser is not None:
        assert model.localiser is not None
        _check_weights(replace(read_run(run).plan, system=toy.localiser), model.localiser.network)


def _toy(name: str) -> System:
    return SYSTEMS.get(name).at("toy")


def _check_history(toy: System, run: Path) -> None:
    """Every joint head has a finite loss in every told step and epoch."""
    details = read_details(run)
    assert details.run.state is RunState.FINISHED
    assert [record.epoch for record in details.run.history] == [1, 2]
    # Twelve cases in five folds: enough of every subtype for the staged head.
    assert not [text for text in details.alarms if "too few" in text]
    tasks = {head.name for head in joint_heads(toy)}
    told = [event for event in _events(run) if event.get("part") == toy.name]
    assert {event["event"] for event in told} == {"step", "epoch"}
    for event in told:
        assert set(event["losses"]) == set(event["weights"]) == tasks
        assert all(math.isfinite(loss) for loss in event["losses"].values())


def _check_weights(plan: Plan, trained: MultitaskNetwork) -> None:
    """Training moved every weight of every kept head, and broke none."""
    untrained = start(plan, torch.device("cpu")).network
    before, after = _weights(untrained), _weights(trained)
    # A variational branch serves training alone and is not kept.
    assert {name for name in before.keys() - after.keys() if not name.startswith("heads.vae")} == (
        set()
    )
    assert all(bool(weight.isfinite().all()) for weight in after.values())
    # Kept in half precision: what training left alone would differ by its rounding only.
    idle = {
        name for name, weight in after.items() if torch.equal(before[name].half(), weight.half())
    }
    assert idle <= _UNTRAINED


def _weights(network: MultitaskNetwork) -> dict[str, torch.Tensor]:
    """Return what multiplies; a bias before a normalisation has no gradient."""
    return {name: each.detach() for name, each in network.named_parameters() if each.dim() > 1}


def _events(run: Path) -> list[dict[str, Any]]:
    lines = (run / EVENTS_FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
