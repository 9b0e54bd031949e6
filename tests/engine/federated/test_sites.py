"""Sites hold what is said of them, and their readers looked for what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.data.phantom.spec import PhantomSpec
from engine.federated.sites import (
    Parts,
    Site,
    SitesError,
    bundled_specs,
    entries_of,
    parts_of,
    read_sites,
)
from tests.engine.training.tiny import write_balls


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data"), 5)


def _written(folder: Path, listed: object) -> Path:
    path = folder / "sites.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    return path


def test_sites_are_read_with_folders_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    listed = [
        {"name": "north", "data": "one"},
        {"name": "south", "data": str(tmp_path), "annotation": {"lesion": "absent"}},
    ]
    assert read_sites(_written(tmp_path, listed)) == (
        Site("north", tmp_path / "one"),
        Site("south", tmp_path, {"lesion": "absent"}),
    )


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        ({}, "no list"),
        ([], "no list"),
        ([{"name": "north"}], "needs a name and data"),
        ([{"name": "north", "data": ".", "extra": 1}], "needs a name and data"),
        ([{"name": "../up", "data": "."}], "letters, digits"),
        ([{"name": "north", "data": "nowhere"}], "data of north is no folder"),
        ([{"name": "n", "data": ".", "annotation": {"liver": "absent"}}], "pancreas and lesion"),
        ([{"name": "n", "data": ".", "annotation": {"lesion": "?"}}], "is none of annotated"),
        ([{"name": "n", "data": "."}, {"name": "N", "data": "."}], "the same name"),
    ],
)
def test_a_wrong_description_is_answered_by_a_sentence(
    tmp_path: Path, listed: object, what: str
) -> None:
    with pytest.raises(SitesError, match=what) as caught:
        read_sites(_written(tmp_path, listed))
    assert caught.value.message.startswith("The sites cannot be used: ")
    assert caught.value.remedy.startswith("Give a JSON list of objects like ")


def test_a_missing_file_is_answered_by_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SitesError, match="cannot be read as JSON"):
        read_sites(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("annotation", "annotated", "absent", "values"),
    [
        ({}, {"pancreas", "lesion"}, set(), (0, 1, 2)),
        ({"lesion": "absent"}, {"pancreas", "lesion"}, {"lesion"}, (0, 1, 2)),
        ({"lesion": "unlabelled"}, {"pancreas"}, set(), (0, 1, 1)),
        ({"pancreas": "unlabelled"}, {"lesion"}, set(), (0, 0, 2)),
        ({"pancreas": "unlabelled", "lesion": "unlabelled"}, set(), set(), (0, 0, 0)),
    ],
)
def test_what_nobody_looked_for_becomes_what_encloses_it(
    data: Path,
    annotation: dict[str, str],
    annotated: set[str],
    absent: set[str],
    values: tuple[int, ...],
) -> None:
    for entry in entries_of(Site("north", data, annotation)):
        assert entry.annotated == annotated
        assert entry.absent == absent
        assert tuple(meaning for _, meaning in sorted(entry.values)) == values


def test_the_parts_of_a_site_share_no_case(data: Path) -> None:
    site = Site("north", data)
    entries = entries_of(site)
    parts: Parts = parts_of(site, entries)
    cases = (*parts.train, *parts.validate, *parts.test)
    assert sorted(cases) == sorted(entry.case_id for entry in entries)
    assert all((parts.train, parts.validate, parts.test))
    with pytest.raises(SitesError, match="north has 2 cases"):
        parts_of(site, entries[:2])


def test_bundled_sites_differ_as_hospitals_do_and_share_no_phantom() -> None:
    specs = bundled_specs("full", seed=1)
    assert {name: len(each) for name, each in specs.items()} == {
        "healthy": 48,
        "tumour": 165,
        "small": 18,
    }
    assert {spec.subtype for spec in specs["healthy"]} == {None}
    assert {spec.subtype for spec in specs["tumour"]} == {0, 1, 2}
    assert len({_scanner(each[0]) for each in specs.values()}) == 3
    every = [*specs.values(), *bundled_specs("full", seed=2).values()]
    seeds = [spec.seed for each in every for spec in each]
    assert len(set(seeds)) == len(seeds)
    assert bundled_specs("toy", seed=1) == bundled_specs("toy", seed=1)


def _scanner(spec: PhantomSpec) -> tuple[object, ...]:
    return spec.site, spec.slice_thickness_mm, spec.noise_hu
