from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from engine.data.images import read_image, read_labels
from engine.data.phantom.write import draw_specs, write_phantoms

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
    write_phantoms(1, 3, "nifti", tmp_path, lambda _, done: told.append(done), subtype=2, **SMALL)
    (place,) = tmp_path.iterdir()
    volume = read_image(place / "ct.nii.gz")
    labels = read_labels(place / "labels.nii.gz", {1: "pancreas", 2: "lesion"})
    truth = json.loads((place / "phantom.json").read_text(encoding="utf-8"))
    assert volume.geometry.is_same_as(labels.geometry)
    assert truth["lesion"]["volume_ml"] == round(labels.volume_mm3("lesion") / 1000.0, 3)
    assert truth["spec"]["subtype"] == 2
    assert (place / "structures.nii.gz").exists()
    assert told == [1.0]
    centre = np.asarray([truth["lesion"]["centre_mm"]])
    index = np.rint(labels.geometry.to_index(centre)[0]).astype(int)
    assert labels.labels[tuple(index)] == 2
