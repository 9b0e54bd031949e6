"""What is timed is a real training, and its control differs in loading alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.case import Case
from engine.data.dataset_writer import write_dataset
from engine.data.datasets import Entry, find_entries
from engine.data.prepare_store import prepare_store
from engine.data.store import read_store
from engine.geometry import from_spacing
from engine.run import Plan
from engine.training import throughput
from engine.training.throughput import (
    SAMPLERS,
    WARM_UP_STEPS,
    Setting,
    SharedBenchmarkError,
    samples_per_s,
    without_changes,
)
from engine.volume import LabelMap, Volume
from tests.engine.training.balls import ball_plan

_PLAN = ball_plan(1)


def _case(number: int) -> Case:
    grid = from_spacing((12, 20, 24), (5.0, 4.0, 3.0))
    rng = np.random.default_rng(number)
    labels = np.zeros(grid.shape, np.uint8)
    labels[3:9, 5:15, 6:18] = 1
    labels[5:7, 8:12, 8:12] = 2
    voxels = rng.integers(-100, 200, grid.shape).astype(np.int16)
    return Case(
        case_id=f"box_{number}",
        volume=Volume(voxels, grid),
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid),
        annotated=frozenset({"pancreas", "lesion"}),
        subtype=0,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Entry, ...]]:
    folder = tmp_path_factory.mktemp("boxes")
    write_dataset((_case(number) for number in range(2)), folder / "data")
    entries = find_entries(folder / "data")
    system = _PLAN.system
    prepare_store(entries, system.preparation, system.structures, folder / "store")
    return folder / "store", entries


def test_patches_read_from_images_are_those_of_the_store(
    prepared: tuple[Path, tuple[Entry, ...]],
) -> None:
    store, entries = prepared
    cases = read_store(store)
    fast, slow = (SAMPLERS[name](_PLAN, cases, entries) for name in ("store", "images"))
    for step in range(4):
        ours, theirs = fast.draw(step, 0), slow.draw(step, 0)
        assert torch.equal(ours.image, theirs.image)
        assert torch.equal(ours.labels, theirs.labels)


def test_without_loading_every_step_has_the_same_patches(
    prepared: tuple[Path, tuple[Entry, ...]],
) -> None:
    store, entries = prepared
    cases = read_store(store)
    kept = SAMPLERS["kept"](_PLAN, cases, entries)
    drawn = SAMPLERS["store"](_PLAN, cases, entries)
    for number in range(_PLAN.batch_size):
        assert kept.draw(0, number) is kept.draw(7, number)
        assert torch.equal(kept.draw(7, number).image, drawn.draw(0, number).image)


def test_patches_without_changes_are_trained_as_drawn() -> None:
    assert without_changes(_PLAN).augment_on not in ("cpu", "device")
    assert replace(without_changes(_PLAN), augment_on=_PLAN.augment_on) == _PLAN


def test_the_warm_up_does_not_count(
    prepared: tuple[Path, tuple[Entry, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slow first steps, then two of them in three seconds.
    times: Iterator[float] = iter([*np.cumsum([60.0] * WARM_UP_STEPS), 241.5, 243.0])

    def fake_fit(fitting: throughput.Fitting) -> None:
        training = fitting.plan.system.training
        for step in range(training.epochs * training.steps_per_epoch):
            fitting.follower.on_step(SimpleNamespace(step=step + 1))

    monkeypatch.setattr(throughput, "fit", fake_fit)
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    store, entries = prepared
    speed = samples_per_s(Setting(_PLAN), store, entries, steps=2)
    assert speed == pytest.approx(2 * _PLAN.batch_size / 3.0)
    assert next(times, None) is None


@pytest.mark.parametrize("loading", SAMPLERS)
def test_every_way_of_loading_trains(
    prepared: tuple[Path, tuple[Entry, ...]], loading: str
) -> None:
    store, entries = prepared
    speed = samples_per_s(Setting(_PLAN, loading), store, entries, steps=1)
    assert 0 < speed < math.inf


def test_two_processes_share_the_batch(prepared: tuple[Path, tuple[Entry, ...]]) -> None:
    store, entries = prepared
    shared = Setting(replace(_PLAN, num_devices=2))
    assert 0 < samples_per_s(shared, store, entries, steps=1) < math.inf


def test_processes_that_fail_are_told_of(
    prepared: tuple[Path, tuple[Entry, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(throughput.subprocess, "run", lambda *_, **__: failed)
    store, entries = prepared
    plan: Plan = replace(_PLAN, num_devices=2)
    with pytest.raises(SharedBenchmarkError) as caught:
        samples_per_s(Setting(plan), store, entries, steps=1)
    assert caught.value.message == "The training in 2 processes ended unexpectedly."
    assert caught.value.remedy == "It may have run out of memory; choose a smaller size."
