from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.panels.system_facts import (
    SystemFacts,
    facts_of,
    heads_text,
    parameters_text,
    training_text,
)
from app.panels.systems import SystemsPanel
from engine.archive.registered import Provenance, systems_folder
from engine.catalogue import SYSTEMS
from engine.system import System
from engine.system_json import system_to_json

_STARTER = SYSTEMS.get("starter")
_TWIN = replace(_STARTER, name="twin", title="Twin", source="Another")
_RAW = replace(_STARTER, name="raw", title="Raw", subtypes=())
_PROVENANCE = Provenance(
    run_id="run-1",
    system="starter",
    size="small",
    dataset="Dataset001_Phantoms",
    fold=0,
    num_epochs=40,
    validated_epoch=40,
    scores={"dice lesion": 0.712},
    registered="2026-11-20T23:59:00+00:00",
    weights_sha256="0" * 64,
    islet="1.0",
)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def _facts(system: System) -> SystemFacts:
    if system.name == "raw":
        return SystemFacts(has_weights=False)
    provenance = _PROVENANCE if system.name == "twin" else None
    return SystemFacts(True, 2_000_000, provenance)


@pytest.fixture
def panel(qtbot: QtBot) -> SystemsPanel:
    panel = SystemsPanel((_STARTER, _RAW, _TWIN), _facts)
    qtbot.addWidget(panel)
    panel.show_system("starter")
    return panel


def _entries(panel: SystemsPanel) -> list[str]:
    return [panel.choice.itemText(index) for index in range(panel.choice.count())]


def _register(name: str) -> None:
    folder = systems_folder() / name
    folder.mkdir(parents=True)
    system = replace(_STARTER, name=name)
    (folder / "system.json").write_text(json.dumps(system_to_json(system)))
    tensor = {"dtype": "F32", "shape": [1000, 3, 500], "data_offsets": [0, 6_000_000]}
    header = json.dumps({"__metadata__": {"a": "b"}, "w": tensor}).encode()
    (folder / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def test_parameters_are_counted_from_the_header_of_the_weights() -> None:
    _register("mine")
    facts = facts_of(replace(_STARTER, name="mine"))
    assert facts == SystemFacts(has_weights=True, num_parameters=1_500_000)
    assert parameters_text(facts) == "1.5 million parameters"


def test_missing_or_broken_weights_are_no_weights() -> None:
    mine = replace(_STARTER, name="mine")
    assert not facts_of(mine).has_weights
    _register("mine")
    (systems_folder() / "mine/weights.safetensors").write_bytes(b"\x01")
    assert not facts_of(mine).has_weights
    assert parameters_text(SystemFacts(has_weights=False)) == "No weights on this computer"


def test_choosing_a_system_asks_for_it(panel: SystemsPanel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.system_requested) as asked:
        panel.choice.activated.emit(1)
    assert asked.args == ["twin"]
    texts = [label.text() for label in panel.findChildren(QLabel)]
    assert {"2.0 million parameters", heads_text(_STARTER), _STARTER.source} <= set(texts)
    assert panel.can_analyse("starter")
    assert not panel.can_analyse("unheard of")


def test_only_systems_that_are_ready_stand_in_the_drop_down(panel: SystemsPanel) -> None:
    assert _entries(panel) == [_STARTER.title, "twin – Twin"]
    assert panel.untrained.names == ("raw",)
    assert panel.untrained.fold.text() == "Train first (1)"


def test_what_must_be_trained_first_is_folded_away_until_asked_for(panel: SystemsPanel) -> None:
    panel.show()
    assert not panel.untrained.list.isVisible()
    panel.untrained.fold.click()
    assert panel.untrained.list.isVisible()
    panel.untrained.fold.click()
    assert not panel.untrained.list.isVisible()


def test_where_every_system_is_ready_nothing_is_folded_away(qtbot: QtBot) -> None:
    panel = SystemsPanel((_STARTER,), _facts)
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.untrained.isVisible()


def test_a_system_to_train_can_be_looked_at_and_leaves_the_drop_down_again(
    panel: SystemsPanel, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(panel.system_requested) as asked:
        panel.untrained.list.itemClicked.emit(panel.untrained.list.item(0))
    assert asked.args == ["raw"]
    panel.show_system("raw")
    assert panel.choice.currentText() == "Raw – not trained yet"
    assert panel.untrained.list.currentItem().data(Qt.ItemDataRole.UserRole) == "raw"
    panel.show_system("starter")
    assert _entries(panel) == [_STARTER.title, "twin – Twin"]
    assert panel.untrained.list.currentItem() is None


def test_a_system_trained_here_says_so_and_the_others_do_not(panel: SystemsPanel) -> None:
    assert training_text(_facts(_TWIN)) == (
        "Here, 40 epochs on Dataset001_Phantoms, registered 2026-11-20; Dice lesion 0.71"
    )
    panel.show()
    trained = panel._pairs["trained"]
    assert not trained.isVisible()
    panel.show_system("twin")
    assert trained.isVisible()


def test_a_system_that_was_registered_appears_and_the_choice_stays(qtbot: QtBot) -> None:
    panel = SystemsPanel((_STARTER,))
    qtbot.addWidget(panel)
    panel.show_system("starter")
    _register("mine")
    panel.refresh()
    assert panel.knows("mine")
    assert panel.can_analyse("mine")
    assert panel.choice.currentData() == "starter"
    assert panel.subtypes_of("mine") == _STARTER.subtypes


def test_a_chosen_system_that_was_trained_meanwhile_moves_up(panel: SystemsPanel) -> None:
    panel.show_system("raw")
    panel._read_facts = lambda _system: SystemFacts(True, 1)
    panel.show_systems((_STARTER, _RAW))
    assert _entries(panel) == [_STARTER.title, "Raw"]
    assert panel.choice.currentData() == "raw"
    assert panel.untrained.names == ()


def test_the_first_system_that_is_ready_comes_first(qtbot: QtBot) -> None:
    panel = SystemsPanel((_RAW, _TWIN), _facts)
    qtbot.addWidget(panel)
    assert panel.first_ready() == "twin"
    panel.show_systems((_RAW,))
    assert panel.first_ready() == "raw"
    assert panel.choice.placeholderText() == "No system is ready yet"
