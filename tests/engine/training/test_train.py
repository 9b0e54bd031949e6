"""A whole system is trained from a data set, and what comes out predicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.archive.run_folder import RunFolderError
from engine.archive.runs import read_details, read_run
from engine.catalogue.starter import LOCALISER, STARTER
from engine.data.dataset_check import BrokenDatasetError
from engine.data.datasets import find_entries
from engine.data.splits import Fold, SplitError, read_split
from engine.errors import CancelledError, IsletError
from engine.inference.device import DeviceMissingError
from engine.inference.model import load_model
from engine.inference.predict import predict
from engine.run import RunState
from engine.training.checkpoint import FullDiskError
from engine.training.conduct import conduct
from engine.training.dry_run import PlanTooLargeError, dry_run
from engine.training.follow import Nobody, StepRecord, Wish
from engine.training.train import (
    NoShippedLocaliserError,
    NothingTrainedError,
    SharingError,
    StrangeSubtypeError,
    plans,
    rehearse,
)
from tests.engine.training.tiny import TINY, ball_in_gland, order, write_balls


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"))


class _Stopper(Nobody):
    """Stops after a number of steps."""

    def __init__(self, num_steps: int) -> None:
        self._left = num_steps

    def on_step(self, record: StepRecord) -> None:
        self._left -= 1

    def wanted(self) -> Wish:
        return "stop" if self._left <= 0 else "run"


def test_training_gives_weights_that_predict(dataset: Path, tmp_path: Path) -> None:
    weights = conduct(order(dataset, tmp_path / "run"), {}, resume=False)
    prediction = predict(ball_in_gland(0), load_model(TINY, "cpu", weights))
    assert prediction.labels.geometry.is_same_as(ball_in_gland(0).volume.geometry)

    run = read_run(tmp_path / "run")
    assert run.state is RunState.FINISHED
    assert [record.epoch for record in run.history] == [1, 2]
    assert set(run.history[-1].scores) == {"dice pancreas", "dice lesion"}
    assert run.plan.fold == 0
    details = read_details(tmp_path / "run")
    assert details.pictures
    assert (tmp_path / "run" / "environment.json").exists()


def test_a_stopped_training_goes_on_to_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    whole = conduct(order(dataset, tmp_path / "whole"), {}, resume=False).read_bytes()
    broken = order(dataset, tmp_path / "broken")
    # Two steps into the second epoch of the localiser, and into the first of the system.
    for num_steps in (5, 3):
        with pytest.raises(CancelledError):
            conduct(broken, {}, resume=True, follower=_Stopper(num_steps))
        assert read_run(broken.folder).state is RunState.STOPPED
    assert conduct(broken, {}, resume=True).read_bytes() == whole


def test_a_stopped_training_may_end_there_with_the_weights_it_has(
    dataset: Path, tmp_path: Path
) -> None:
    stopped = order(dataset, tmp_path / "run", replace(TINY, localiser=None))
    with pytest.raises(CancelledError):
        conduct(stopped, {}, resume=False, follower=_Stopper(3))
    assert not (stopped.folder / "weights.safetensors").exists()
    told = _Listener()
    weights = conduct(replace(stopped, ends_here=True), {}, resume=True, follower=told)
    assert told.alarms == ["starter was ended early: its weights are those of step 3 of 6."]
    assert told.steps == 0
    assert read_run(stopped.folder).state is RunState.FINISHED
    predict(ball_in_gland(0), load_model(stopped.system, "cpu", weights))
    # It may go on all the same, and comes to what it would have come to.
    whole = conduct(order(dataset, tmp_path / "whole", stopped.system), {}, resume=False)
    assert conduct(stopped, {}, resume=True).read_bytes() == whole.read_bytes()


def test_a_training_without_a_checkpoint_has_nothing_to_end_with(
    dataset: Path, tmp_path: Path
) -> None:
    stopped = order(dataset, tmp_path / "run")
    with pytest.raises(CancelledError):
        # Its localiser has begun, the system has not.
        conduct(stopped, {}, resume=False, follower=_Stopper(1))
    with pytest.raises(NothingTrainedError, match="no checkpoint of 'starter'"):
        conduct(replace(stopped, ends_here=True), {}, resume=True)


class _Listener(Nobody):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[str] = []
        self.steps = 0

    def on_alarm(self, text: str) -> None:
        self.alarms.append(text)

    def on_step(self, record: StepRecord) -> None:
        self.steps += 1


class _StopsAtFeatures(Nobody):
    """Stops between the joint heads and the staged one."""

    def on_progress(self, stage: str, fraction: float) -> None:
        if stage == "features":
            raise CancelledError


def test_a_training_broken_off_before_its_staged_head_goes_on_to_the_same_weights(
    dataset: Path, tmp_path: Path
) -> None:
    system = replace(TINY, localiser=None)
    whole = conduct(order(dataset, tmp_path / "whole", system), {}, resume=False).read_bytes()
    broken = order(dataset, tmp_path / "broken", system)
    with pytest.raises(CancelledError):
        conduct(broken, {}, resume=False, follower=_StopsAtFeatures())
    assert conduct(broken, {}, resume=True).read_bytes() == whole


def test_the_folder_of_another_run_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        conduct(order(dataset, tmp_path), {}, resume=False, follower=_Stopper(1))
    with pytest.raises(RunFolderError):
        conduct(order(dataset, tmp_path), {}, resume=False)


def test_a_broken_case_stops_a_training_before_it_begins(tmp_path: Path) -> None:
    data = write_balls(tmp_path / "data")
    (data / "imagesTr" / "ball_3_0000.nii.gz").unlink()
    with pytest.raises(BrokenDatasetError) as caught:
        conduct(order(data, tmp_path / "run"), {}, resume=False)
    assert "ball_3" in caught.value.message
    details = read_details(tmp_path / "run")
    assert details.run.state is RunState.FAILED
    assert not read_run(tmp_path / "run").history

    weights = conduct(order(data, tmp_path / "other", skip_broken=True), {}, resume=False)
    assert weights.exists()


def test_a_full_disk_loses_no_checkpoint(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = order(dataset, tmp_path / "run")
    with pytest.raises(CancelledError):
        conduct(wanted, {}, resume=False, follower=_Stopper(3))
    kept = {path.name: path.read_bytes() for path in (wanted.folder / "checkpoint").iterdir()}

    def save(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(FullDiskError) as caught:
        conduct(wanted, {}, resume=True)
    assert "disk is full" in caught.value.message
    assert "resume" in caught.value.remedy
    assert {p.name: p.read_bytes() for p in (wanted.folder / "checkpoint").iterdir()} == kept
    assert read_run(wanted.folder).state is RunState.FAILED


def test_a_missing_card_is_said_before_anything_is_made(dataset: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("This machine has a graphics card.")
    with pytest.raises(DeviceMissingError):
        conduct(order(dataset, tmp_path / "run", device="cuda:0"), {}, resume=False)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_cannot_be_shared_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SharingError) as caught:
        plans(order(dataset, tmp_path, num_devices=2))
    assert caught.value.message == "A batch of 1 cannot be shared evenly by 2 processes."
    assert caught.value.remedy == "Choose a multiple of 2 with --batch-size."
    shared = plans(order(dataset, tmp_path, num_devices=2, batch_size=4))
    assert [plan.batch_size for plan in shared] == [2, 4]


def test_a_batch_that_cannot_even_be_loaded_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanTooLargeError):
        rehearse(order(dataset, tmp_path, batch_size=1_000_000_000))


def test_subtypes_that_the_system_does_not_know_are_refused(tmp_path: Path) -> None:
    data = write_balls(tmp_path / "data", 6)
    described = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**described, "subtypes": list("abcd")}))
    rows = "".join(f"ball_{number},{number % 4}\n" for number in range(6))
    (data / "subtypes.csv").write_text(f"case,subtype\n{rows}")
    with pytest.raises(StrangeSubtypeError) as caught:
        conduct(order(data, tmp_path / "run"), {}, resume=False)
    assert caught.value.message == "Case ball_3 is of subtype 3; the system tells 0 to 2."
    assert "subtypes.csv" in caught.value.remedy


def test_the_cards_after_the_first_one_are_counted(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SharingError) as caught:
        plans(order(dataset, tmp_path, device="cuda:1", num_devices=2, batch_size=2))
    assert caught.value.message == "This machine has 2 graphics cards, not 3."


def test_a_fold_the_split_lacks_is_refused(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    cases = [f"ball_{number}" for number in range(12)]
    (folder / "splits.json").write_text(json.dumps([{"train": cases[4:], "val": cases[:4]}]))
    with pytest.raises(IsletError) as caught:
        conduct(order(dataset, folder, fold=3), {}, resume=False)
    assert isinstance(caught.value, SplitError | RunFolderError)


def test_a_plan_too_large_is_refused_with_its_size(dataset: Path, tmp_path: Path) -> None:
    training = replace(TINY.training, patch_shape=(1024, 1024, 1024))
    network = replace(STARTER.network, params={**STARTER.network.params})
    huge = replace(TINY, network=network, training=training)
    with pytest.raises(PlanTooLargeError) as caught:
        rehearse(order(dataset, tmp_path, system=huge))
    assert "This training needs about" in caught.value.message
    assert "smaller size" in caught.value.remedy


def test_a_batch_that_does_not_fit_at_once_is_computed_in_parts(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    plan = plans(order(dataset, tmp_path, batch_size=8, system=STARTER))[-1]
    at_once = dry_run(plan)
    assert at_once.plan.accumulation == 1
    needed = at_once.needed_bytes
    monkeypatch.setattr("engine.training.dry_run._free_bytes", lambda _: round(0.6 * needed))
    parts = dry_run(plan)
    assert parts.plan.accumulation > 1
    assert parts.needed_bytes < 0.6 * needed
    assert "parts" in parts.text


def test_a_training_on_every_case_keeps_their_names(dataset: Path, tmp_path: Path) -> None:
    system = replace(TINY, localiser=None)
    conduct(order(dataset, tmp_path / "run", system, fold=None), {}, resume=False)
    ids = tuple(sorted(entry.case_id for entry in find_entries(dataset)))
    assert read_split(tmp_path / "run/splits.json") == (Fold(ids, ()),)


def test_a_localiser_that_does_not_ship_is_missed_before_anything_is_read(tmp_path: Path) -> None:
    for system in (TINY, replace(TINY, localiser=None)):
        wanted = order(tmp_path / "nowhere", tmp_path / "run", system, own_localiser=False)
        with pytest.raises(NoShippedLocaliserError) as caught:
            conduct(wanted, {}, resume=False)
        assert caught.value.message == "No localiser ships with Islet for this system and size."
        assert caught.value.remedy.startswith("Leave --shipped-localiser away")
        assert not wanted.folder.exists()


def test_the_shipped_localiser_may_serve(dataset: Path, tmp_path: Path) -> None:
    # Only the localiser's own training may differ from the shipped one's.
    training = replace(LOCALISER.training, epochs=1)
    system = replace(TINY, localiser=replace(LOCALISER, training=training))
    weights = conduct(
        order(dataset, tmp_path, system=system, own_localiser=False), {}, resume=False
    )
    own = load_model(system, "cpu", weights).localiser
    shipped = load_model(STARTER, "cpu").localiser
    assert own is not None
    assert shipped is not None
    for first, second in zip(own.network.parameters(), shipped.network.parameters(), strict=True):
        assert torch.equal(first, second)
