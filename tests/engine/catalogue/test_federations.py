"""Every federation of the papers can be set up, and says where it comes from."""

from __future__ import annotations

import json

import pytest

from engine.catalogue import SYSTEMS
from engine.catalogue.federations import FEDERATIONS
from engine.federated.aggregate import AGGREGATORS
from engine.federated.objective import OBJECTIVES
from engine.system import System
from engine.system_json import system_from_json, system_to_json


@pytest.fixture(params=FEDERATIONS.names())
def system(request: pytest.FixtureRequest) -> System:
    return FEDERATIONS.get(request.param)


def test_the_rows_of_both_papers_are_there_under_names_of_their_own() -> None:
    names = FEDERATIONS.names()
    assert sum(name.startswith("local_") for name in names) == 3
    assert sum(name.startswith("dtp_") for name in names) == 4
    assert sum(name.startswith("dwa_") for name in names) == 5
    assert {"fedavg", "fedprox", "c1_baseline", "c2_baseline", "c2fnas_vae_federated"} < {*names}
    assert not {*names} & {*SYSTEMS.names()}
    assert len({system.title for system in FEDERATIONS}) == len(names)


@pytest.mark.parametrize("size", ["toy", "small", "full"])
def test_rules_are_registered_and_take_their_settings(system: System, size: str) -> None:
    federation = system.at(size).federation
    assert federation is not None
    assert system.at(size).name == system.name
    aggregate, objective = federation.aggregate, federation.local_objective
    assert AGGREGATORS.get(aggregate.name)(**aggregate.params)
    assert OBJECTIVES.get(objective.name)(**objective.params)
    assert federation.rounds > 0
    assert federation.local_epochs > 0
    assert 0 < federation.shared_fraction <= 1


def test_a_federation_has_the_network_of_its_base_system(system: System) -> None:
    base = SYSTEMS.get(system.network.name if len(system.heads) == 1 else "c2fnas_vae")
    for size in ("toy", "small", "full"):
        assert system.at(size).network == base.at(size).network
        assert system.at(size).training == base.at(size).training
        assert system.at(size).preparation == base.at(size).preparation


def test_a_federation_is_the_same_after_a_journey_through_json(system: System) -> None:
    sized = system.at("full")
    assert system_from_json(json.loads(json.dumps(system_to_json(sized)))) == sized


def test_full_rounds_make_up_the_epochs_of_the_training(system: System) -> None:
    assert system.federation is not None
    assert system.federation.rounds * system.federation.local_epochs == system.training.epochs


def test_every_federation_has_a_source(system: System) -> None:
    assert "et al." in system.source
