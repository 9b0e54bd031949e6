from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import SYSTEMS
from engine.run import Plan
from engine.system import Federation, Part, System
from engine.system_json import (
    DamagedSystemError,
    plan_from_json,
    plan_to_json,
    system_from_json,
    system_to_json,
)

_SYSTEMS = [
    pytest.param(system.at(size), id=f"{system.name}-{size}")
    for system in SYSTEMS
    for size in ("full", *system.sizes)
]
_STARTER = SYSTEMS.get("starter")
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_SETTINGS = st.recursive(
    _SCALARS.filter(lambda value: value not in (float("inf"), -float("inf"))),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def _through_text(value: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


def _without_sizes(system: System) -> System:
    inner = None if system.localiser is None else _without_sizes(system.localiser)
    return replace(system, sizes={}, localiser=inner)


@pytest.mark.parametrize("system", _SYSTEMS)
def test_every_system_comes_back_as_it_was(system: System) -> None:
    assert system_from_json(_through_text(system_to_json(system))) == _without_sizes(system)


@given(params=st.dictionaries(st.text(), _SETTINGS))
def test_every_setting_of_a_part_comes_back_with_its_type(params: dict[str, Any]) -> None:
    system = replace(_STARTER, network=Part("any", params))
    back = system_from_json(_through_text(system_to_json(system)))
    assert repr(dict(back.network.params)) == repr(params)


def test_a_federation_comes_back() -> None:
    federation = Federation(("a", "b"), 60, 10, Part("dwa", {"t": 2.0}), Part("none"), 0.25)
    system = replace(_STARTER, federation=federation)
    assert system_from_json(_through_text(system_to_json(system))) == _without_sizes(system)


def test_a_plan_comes_back_with_its_system() -> None:
    plan = Plan(_STARTER, "phantoms", (2.0, 1.5, 1.5), (8, 16, 16), 2, "bf16", 7, fold=None)
    assert plan_from_json(_through_text(plan_to_json(plan)), _STARTER) == plan


def _with(path: str, value: object) -> Any:
    """Return the starter's JSON with the field at `path` replaced, or dropped with `...`."""
    document = _through_text(system_to_json(_STARTER))
    place: Any = document
    *way, last = path.split(".")
    for name in way:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("name", 3, "'system.name' should be a text"),
        ("name", ..., "'system.name' should be there"),
        ("colour", "red", "'system.colour' should be left out; this Islet does not know it"),
        ("training.epochs", 1.5, "'system.training.epochs' should be a whole number"),
        ("training.epochs", True, "'system.training.epochs' should be a whole number"),
        ("training.patch_shape", [1, 2], "'system.training.patch_shape' should be a list of 3"),
        ("training.losses", {}, "'system.training.losses' should be a list"),
        ("inference.step", "half", "'system.inference.step' should be a number"),
        ("localiser", [], "'system.localiser' should be an object"),
        ("localiser.network.params", 4, "'system.localiser.network.params' should be an object"),
        ("structures", ["pancreas", 2], "'system.structures[1]' should be a text"),
        ("preparation.hu_mean", float("nan"), "'system.preparation.hu_mean' should be a number"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: object, expected: str) -> None:
    with pytest.raises(DamagedSystemError) as caught:
        system_from_json(_with(path, value))
    assert expected in caught.value.message
    assert caught.value.remedy.endswith(".")


@pytest.mark.parametrize("document", [None, [], "starter", 3])
def test_what_is_no_object_is_no_system(document: object) -> None:
    with pytest.raises(DamagedSystemError, match="'system' should be an object"):
        system_from_json(document)


def test_a_field_that_an_earlier_islet_did_not_know_takes_its_default() -> None:
    document = _with("training.accumulation", ...)
    assert system_from_json(document).training.accumulation == 1


def test_what_json_cannot_say_is_not_written() -> None:
    for setting in (object(), float("inf"), {3: "three"}):
        with pytest.raises(ValueError, match=r"JSON|text"):
            system_to_json(replace(_STARTER, network=Part("any", {"setting": setting})))
