"""The sites of a simulated federation: what each of them holds, and what its readers looked for."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.data.dataset_check import check_dataset, whole_entries
from engine.data.datasets import STATES, Entry
from engine.data.label_names import NAMES, STRUCTURES
from engine.data.phantom.spec import SUBTYPES, PhantomSpec, sample_spec
from engine.data.phantom.write import write_phantoms
from engine.data.side_by_side import usual_workers
from engine.data.splits import Fold, split
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_KEYS = frozenset({"name", "data", "annotation"})
_NUM_FOLDS = 5
_FEWEST_CASES = 3
_SEEDS_PER_SITE = 10_000
_PHANTOMS_PER_WORKER = 4  # a process takes longer to start than some phantoms to make


class SitesError(IsletError):
    """A description of sites that cannot be used."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The sites cannot be used: {what}.",
            remedy='Give a JSON list of objects like {"name": "north", "data": "folder", '
            '"annotation": {"lesion": "unlabelled"}}.',
        )


@dataclass(frozen=True, slots=True)
class Site:
    """A member of a federation.

    Args:
        name: Also that of its folder.
        data: Its data set.
        annotation: By structure one of `STATES`; what is not named is as the data set says.
    """

    name: str
    data: Path
    annotation: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())


@dataclass(frozen=True, slots=True)
class Parts:
    """Which cases of a site train, which choose the model, and which judge it."""

    train: tuple[str, ...]
    validate: tuple[str, ...]
    test: tuple[str, ...]


def read_sites(path: Path) -> tuple[Site, ...]:
    """Read a description of sites; folders are relative to the file.

    Raises:
        SitesError: If it is not such a description.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SitesError("the file cannot be read as JSON") from None
    if not isinstance(listed, list) or not listed:
        raise SitesError("the file holds no list of them")
    sites = tuple(_site(each, path.absolute().parent) for each in listed)
    if len({site.name.casefold() for site in sites}) < len(sites):
        raise SitesError("two of them have the same name")
    return sites


def entries_of(site: Site, on_progress: OnProgress = ignore_progress) -> tuple[Entry, ...]:
    """Return the cases of a site with what its readers looked for.

    Voxels of a structure that was not looked for become what encloses it, as if nobody had ever
    drawn them.

    Raises:
        IsletError: If its data set cannot be used.
    """
    entries = whole_entries(check_dataset(site.data, on_progress))
    return tuple(_with_policy(entry, site.annotation) for entry in entries)


def parts_of(site: Site, entries: tuple[Entry, ...]) -> Parts:
    """Hold a fifth of a site's cases back to choose the model, and another to judge it.

    Raises:
        SitesError: If it has too few cases for three parts.
    """
    if len(entries) < _FEWEST_CASES:
        raise SitesError(f"{site.name} has {len(entries)} cases, and three is the fewest")
    folds: tuple[Fold, ...] = split(entries, min(_NUM_FOLDS, len(entries)))
    validate, test = folds[0].validate, folds[1].validate
    return Parts(
        tuple(case for case in folds[0].train if case not in test), tuple(validate), tuple(test)
    )


@dataclass(frozen=True, slots=True)
class _Bundled:
    """A site of phantoms; `num_cases` by size, after the 48, 165 and 18 of Shen et al."""

    name: str
    num_cases: Mapping[str, int]
    subtypes: tuple[int | None, ...]
    annotation: Mapping[str, str]
    spec: Mapping[str, Any]


# ours: everything but the proportions; scanners, phases and labels differ as those of hospitals do
_BUNDLED = (
    _Bundled(
        "healthy",
        {"toy": 4, "small": 12, "full": 48},
        (None,),
        {"lesion": "absent"},
        {"site": "north", "phase": "venous", "slice_thickness_mm": 2.5, "noise_hu": 9.0},
    ),
    _Bundled(
        "tumour",
        {"toy": 7, "small": 41, "full": 165},
        SUBTYPES,
        {},
        {"site": "south", "phase": "arterial", "slice_thickness_mm": 3.0, "noise_hu": 12.0},
    ),
    _Bundled(
        "small",
        {"toy": 3, "small": 5, "full": 18},
        (*SUBTYPES, None),
        {"lesion": "unlabelled"},
        {
            "site": "west",
            "phase": "venous",
            "slice_thickness_mm": 5.0,
            "pixel_mm": 1.8,
            "matrix": 224,
            "noise_hu": 15.0,
            "kernel": "sharp",
        },
    ),
)


def bundled_specs(size: str, seed: int) -> dict[str, tuple[PhantomSpec, ...]]:
    """Return the phantoms of the three bundled sites, by site; no two are alike.

    Args:
        size: "toy", "small" or "full": how many there are.
        seed: The same seed gives the same phantoms.
    """
    return {
        site.name: tuple(
            sample_spec(
                (len(_BUNDLED) * seed + number) * _SEEDS_PER_SITE + case,
                subtype=site.subtypes[case % len(site.subtypes)],
                **site.spec,
            )
            for case in range(site.num_cases[size])
        )
        for number, site in enumerate(_BUNDLED)
    }


def make_sites(
    folder: Path, size: str, seed: int, on_progress: OnProgress = ignore_progress
) -> tuple[Site, ...]:
    """Write the data sets of the three bundled sites, where they are not there yet.

    Args:
        folder: One folder for each site is made in it.
        size: As in `bundled_specs`.
        seed: As in `bundled_specs`.
        on_progress: Told ("phantoms", fraction); to cancel, it raises.
    """
    specs = bundled_specs(size, seed)
    total, done = sum(map(len, specs.values())), 0
    for name, wanted in specs.items():
        data = folder / name
        if not (data / "dataset.json").exists():
            # Without the description, which comes last, an earlier attempt was interrupted.
            shutil.rmtree(data, ignore_errors=True)
            write_phantoms(
                wanted,
                "dataset",
                data,
                workers=usual_workers(len(wanted) // _PHANTOMS_PER_WORKER),
                on_progress=_part_of(on_progress, done / total, len(wanted) / total),
            )
        done += len(wanted)
    return tuple(Site(site.name, folder / site.name, site.annotation) for site in _BUNDLED)


def _part_of(on_progress: OnProgress, begin: float, share: float) -> OnProgress:
    return lambda stage, fraction: on_progress(stage, begin + share * fraction)


def _site(listed: Any, base: Path) -> Site:
    if not isinstance(listed, dict) or not {"name", "data"} <= listed.keys() <= _KEYS:
        raise SitesError("each needs a name and data, and may have an annotation")
    name, annotation = listed["name"], listed.get("annotation", {})
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SitesError("a name is made of letters, digits, - and _")
    if not isinstance(annotation, dict) or not annotation.keys() <= {*STRUCTURES}:
        raise SitesError(f"the annotation of {name} may name {' and '.join(STRUCTURES)}")
    if not all(state in STATES for state in annotation.values()):
        raise SitesError(f"a structure of {name} is none of {', '.join(STATES)}")
    data = base / str(listed["data"])
    if not data.is_dir():
        raise SitesError(f"the data of {name} is no folder")
    return Site(name, data, annotation)


def _with_policy(entry: Entry, annotation: Mapping[str, str]) -> Entry:
    stated = {
        name: "absent" if name in entry.absent else "annotated" for name in entry.annotated
    } | dict(annotation)
    annotated = frozenset(name for name, state in stated.items() if state != "unlabelled")
    absent = frozenset(name for name, state in stated.items() if state == "absent")
    meaning = {0: 0}
    for value, name in NAMES.items():
        meaning[value] = value if name in annotated else meaning[value - 1]
    values = tuple((stored, meaning[value]) for stored, value in entry.values)
    return replace(entry, annotated=annotated, absent=absent, values=values)
