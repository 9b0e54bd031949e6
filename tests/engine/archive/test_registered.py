from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from engine import worker
from engine.archive import registered
from engine.archive.registered import (
    DamagedRegistrationError,
    RegisterError,
    all_systems,
    find_system,
    free_name,
    is_registered,
    provenance_of,
    register,
    registered_systems,
    systems_folder,
    unregister,
    weights_of,
)
from engine.archive.run_folder import RunFolderError
from engine.case import Case
from engine.catalogue import SYSTEMS
from engine.data.splits import FILE_NAME
from engine.inference.model import load_model
from engine.inference.predict import predict
from engine.registry import UnknownNameError
from tests.engine.archive.runs_made import TINY, begin_run, epoch_values, finished_run
from tests.engine.inference.toys import toy_volume


def test_a_registered_run_is_listed_loaded_and_looks_for_lesions(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    system = register(tmp_path / "run", "mine")
    assert all_systems() == (*SYSTEMS, system)
    assert find_system("mine") == system == replace(TINY, name="mine")
    model = load_model(find_system("mine"), "cpu")
    case = Case("one", toy_volume())
    prediction = predict(case, model)
    assert prediction.system == "mine"
    assert prediction.labels.labels.shape == case.volume.voxels_hu.shape
    provenance = provenance_of("mine")
    assert provenance is not None
    assert prediction.weights_digest == provenance.weights_sha256


def test_a_registered_network_is_that_of_the_run(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "mine")
    before = load_model(TINY, "cpu", tmp_path / "run/weights.safetensors").network.state_dict()
    after = load_model(find_system("mine"), "cpu").network.state_dict()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())


def test_a_registered_system_says_where_it_comes_from(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", dice=0.6)
    # The weights are those of the last epoch, even where an earlier one had been better.
    run.emit("epoch", **epoch_values(3, 0.4))
    run.emit("epoch", **epoch_values(4))
    register(tmp_path / "run")
    provenance = provenance_of("run")
    assert provenance is not None
    assert (provenance.run_id, provenance.system, provenance.size) == ("run", "tiny", "toy")
    assert (provenance.dataset, provenance.fold) == ("phantoms", 0)
    assert (provenance.num_epochs, provenance.validated_epoch) == (4, 3)
    assert provenance.scores["dice lesion"] == pytest.approx(0.3)
    weights = weights_of("run")
    assert weights is not None
    assert provenance.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    text = (systems_folder() / "run/provenance.json").read_text()
    assert str(tmp_path) not in text


def test_a_registered_system_outlives_its_run(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run")
    (tmp_path / "run/weights.safetensors").unlink()
    assert load_model(find_system("run"), "cpu").system.name == "run"


def test_the_catalogue_comes_first_and_hints_know_both(tmp_path: Path) -> None:
    finished_run(tmp_path / "mine_too")
    register(tmp_path / "mine_too")
    assert find_system("starter") is SYSTEMS.get("starter")
    for wrong, near in (("startr", "starter"), ("mine_to", "mine_too")):
        with pytest.raises(UnknownNameError) as caught:
            find_system(wrong)
        assert caught.value.message == f"There is no system called '{wrong}'."
        assert caught.value.remedy == f"Did you mean '{near}'?"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("starter", "'starter' is the name of a system of Islet."),
        ("Starter", "'Starter' is the name of a system of Islet."),
        ("taken", "There is a registered system called 'taken' already."),
        ("TAKEN", "There is a registered system called 'TAKEN' already."),
        ("../escape", "'../escape' cannot be the name of a system."),
        ("", "'' cannot be the name of a system."),
        (".hidden", "'.hidden' cannot be the name of a system."),
        ("two words", "'two words' cannot be the name of a system."),
        ("n" * 65, f"'{'n' * 65}' cannot be the name of a system."),
    ],
)
def test_a_name_that_is_taken_or_unfit_is_refused(tmp_path: Path, name: str, message: str) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "taken")
    with pytest.raises(RegisterError) as caught:
        register(tmp_path / "run", name)
    assert caught.value.message == message
    assert caught.value.remedy.endswith(".")
    assert [folder.name for folder in systems_folder().iterdir()] == ["taken"]


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    with pytest.raises(RegisterError) as caught:
        register(tmp_path / "run")
    assert caught.value.message == "The run has no weights yet."
    assert caught.value.remedy == (
        "They are written when a training is finished: resume it, or start one with fewer epochs, "
        "and register it then."
    )
    with pytest.raises(RunFolderError):
        register(tmp_path / "nothing")


def test_damaged_weights_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    (tmp_path / "run/weights.safetensors").write_bytes(b"\x01")
    with pytest.raises(RegisterError) as caught:
        register(tmp_path / "run")
    assert caught.value.message == "The weights of the run are damaged."
    assert list(systems_folder().iterdir()) == []


def test_a_full_disk_leaves_no_half_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(tmp_path / "run")
    monkeypatch.setattr(registered, "write_json", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises(RegisterError) as caught:
        register(tmp_path / "run")
    assert caught.value.message == "The disk that holds the registered systems is full."
    assert caught.value.remedy == "Free some space, and register the run again."
    assert list(systems_folder().iterdir()) == []


def _damage_system(folder: Path) -> None:
    (folder / "system.json").write_text("{")


def _lose_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def _take_another_name(folder: Path) -> None:
    system = json.loads((folder / "system.json").read_text())
    (folder / "system.json").write_text(json.dumps(system | {"name": "somebody"}))


@pytest.mark.parametrize("damage", [_damage_system, _lose_weights, _take_another_name])
def test_a_damaged_system_is_left_out_with_a_word_and_can_be_removed(
    tmp_path: Path, damage: Mock
) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "bad")
    register(tmp_path / "run", "good")
    damage(systems_folder() / "bad")
    systems, remarks = registered_systems()
    assert [system.name for system in systems] == ["good"]
    sentence = "The registered system 'bad' is damaged."
    remedy = "Remove it with 'islet unregister bad', and register its run again."
    assert remarks == (f"{sentence} {remedy}",)
    assert [system.name for system in all_systems()][-1] == "good"
    with pytest.raises(DamagedRegistrationError) as caught:
        find_system("bad")
    assert (caught.value.message, caught.value.remedy) == (sentence, remedy)
    unregister("bad")
    assert registered_systems()[1] == ()


def test_what_is_registered_can_be_removed_and_nothing_else(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run")
    assert is_registered("run")
    unregister("run")
    assert not is_registered("run")
    assert weights_of("run") is None
    with pytest.raises(UnknownNameError, match="no registered system called 'run'"):
        unregister("run")
    with pytest.raises(RegisterError) as caught:
        unregister("starter")
    assert caught.value.message == "The system 'starter' belongs to Islet and cannot be removed."


def test_a_system_that_islet_learns_later_wins_over_the_registered_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "modern")
    modern = replace(TINY, name="modern", title="Islet's own")
    monkeypatch.setitem(SYSTEMS._parts, "modern", modern)
    assert find_system("modern") is modern
    assert weights_of("modern") is None
    assert registered_systems() == (
        (),
        ("The registered system 'modern' gives way to Islet's own.",),
    )


def test_names_from_outside_stay_in_their_folder(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "inside")
    for name in ("../systems/inside", "/etc", ""):
        assert weights_of(name) is None
        with pytest.raises(UnknownNameError):
            find_system(name)


def test_the_engine_loads_a_name_anew_when_its_weights_are_others(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "mine")
    first = worker._load("mine", "cpu")
    assert worker._load("mine", "cpu") is first
    unregister("mine")
    register(tmp_path / "run", "mine")
    assert worker._load("mine", "cpu") is not first


@pytest.mark.parametrize(
    ("run", "name"), [("mine", "mine"), ("islet", "islet-2"), ("ä b", "trained")]
)
def test_a_free_name_is_the_run_s_own_where_that_can_be(
    tmp_path: Path, run: str, name: str
) -> None:
    assert free_name(tmp_path / run) == name


def test_a_run_registered_twice_gets_the_next_number(tmp_path: Path) -> None:
    finished_run(tmp_path / "again")
    names = [register(tmp_path / "again", free_name(tmp_path / "again")).name for _ in range(3)]
    assert names == ["again", "again-2", "again-3"]


def test_the_split_is_kept_under_the_name_it_is_looked_for() -> None:
    assert registered._SPLITS_FILE == FILE_NAME
