from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.data.images import read_image, read_labels
from engine.data.phantom.write import draw_specs, write_phantoms
from engine.errors import IsletError

SMALL = {"pixel_mm": 3.0, "matrix": 96, "slice_thickness_mm": 5.0, "length_mm": 150.0}


def test_a_set_is_three_quarters_lesions_of_all_subtypes() -> None:
    kinds = Counter(spec.subtype for spec in draw_specs(40, 1))
    assert kinds == {0: 10, 1: 10, 2: 10, None: 10}


def test_sets_of_different_seeds_share_no_phantom() -> None:
    first, second = draw_specs(30, 1), draw_specs(30, 2)
    assert not {spec.seed for spec in first} & {spec.seed for spec in second}
    assert draw_specs(30, 1) == first


def test_a_nifti_case_comes_with_labels_and_truth(tmp_path: Path) -> None:
    told: list[float] = []
    specs = draw_specs(1, 3, subtype=2, **SMALL)
    write_phantoms(specs, "nifti", tmp_path, on_progress=lambda _, done: told.append(done))
    (place,) = tmp_path.iterdir()
    volume = read_image(place / "ct.nii.gz")
    labels = read_labels(place / "labels.nii.gz", {1: "pancreas", 2: "lesion"})
    truth = json.loads((place / "phantom.json").read_text(encoding="utf-8"))
    assert volume.geometry.is_same_as(labels.geometry)
    assert truth["lesion"]["volume_ml"] == round(labels.volume_mm3("lesion") / 1000.0, 3)
    assert truth["spec"]["subtype"] == 2
    assert (place / "structures.nii.gz").exists()
    assert told == [0.0, 1.0]
    centre = np.asarray([truth["lesion"]["centre_mm"]])
    index = np.rint(labels.geometry.to_index(centre)[0]).astype(int)
    assert labels.labels[tuple(index)] == 2


def test_two_processes_write_what_one_does(tmp_path: Path) -> None:
    specs = draw_specs(3, 4, **SMALL)
    told: list[float] = []
    write_phantoms(specs, "dataset", tmp_path / "one")
    write_phantoms(
        specs,
        "dataset",
        tmp_path / "two",
        workers=2,
        on_progress=lambda _, done: told.append(done),
    )
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert len(files[0]) == 2 * 3 + 2
    assert files[0] == files[1]
    assert told == [0.0, 1 / 3, 2 / 3, 1.0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL.")
def test_a_killed_process_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.data.phantom.write._write_one", _be_killed)
    with pytest.raises(IsletError) as caught:
        write_phantoms(draw_specs(2, 4, **SMALL), "nifti", tmp_path, workers=2)
    assert caught.value.message.startswith("A process that made phantoms was killed")


def _be_killed(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
