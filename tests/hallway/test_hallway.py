"""One case walks through every door, from a DICOM folder to the words of its findings.

The network reads the lesion off its density, so that the walk needs no trained weights and what
comes out is known: one lesion of known size at a known place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case
from engine.catalogue import SYSTEMS
from engine.data.images import read_labels, write_labels, write_volume
from engine.data.phantom import make_phantom, sample_spec
from engine.data.prepare import prepare
from engine.data.source import best_source, find_sources, read_case
from engine.evaluation.segmentation import dice
from engine.inference.localise import find_region
from engine.inference.measure import find_lesions
from engine.inference.memory import infer_within_memory
from engine.inference.model import load_model
from engine.inference.predict import predict
from engine.inference.restore import to_scan
from engine.volume import Volume
from tests.engine.inference.toys import (
    reordered,
    toy_geometry,
    toy_model,
    toy_volume,
)

# The lesion's centre: the organ's place and the lesion's offset within it.
LESION_MM = (24.0, -15.0, 11.0)


def scan() -> Volume:
    """Return a body in air, stored oddly: coronal order, flipped, finer than the network."""
    geometry = toy_geometry((48, 110, 120), (2.5, 0.9, 0.9))
    body = toy_volume(geometry, organ_mm=(20.0, -12.0, 9.0))
    voxels_hu = body.voxels_hu.copy()
    voxels_hu[:, :15] = -1000
    voxels_hu[:, -15:] = -1000
    return reordered(Volume(voxels_hu, geometry), (1, 0, 2), (True, True, False))


def test_every_door_gives_what_the_next_one_takes(tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "scan.nii.gz")

    sources = find_sources(tmp_path)
    case = read_case(best_source(sources))
    assert case.volume.geometry.is_same_as(scan().geometry)

    model = toy_model()
    region = find_region(model, case.volume)
    prepared = prepare(region.volume, model.system.preparation)
    assert prepared.geometry.patient_axes() == ((2, 1), (1, 1), (0, 1))

    outputs_KDHW = infer_within_memory(model, prepared)
    assert outputs_KDHW.shape == (3, *prepared.image.shape)

    labels, probabilities = to_scan(outputs_KDHW, prepared, region, model.system)
    assert labels.geometry.is_same_as(case.volume.geometry)

    (finding,) = find_lesions(labels, probabilities, case.volume)
    assert finding.centre_mm == pytest.approx(LESION_MM, abs=0.5)
    assert finding.longest_diameter_mm == pytest.approx(16.0, abs=1.5)
    assert finding.volume_mm3 == pytest.approx(4 / 3 * np.pi * 8.0**3, rel=0.1)

    prediction = predict(case, model)
    np.testing.assert_array_equal(prediction.labels.labels, labels.labels)
    assert prediction.findings == (finding,)

    write_labels(prediction.labels, tmp_path / "labels.nii.gz")
    written = read_labels(tmp_path / "labels.nii.gz", dict(prediction.labels.names))
    assert written.geometry.is_same_as(case.volume.geometry)
    np.testing.assert_array_equal(written.labels, labels.labels)


@cache
def phantom_case() -> Case:
    """Return a small phantom with one cystic lesion, drawn from a seed no training uses."""
    spec = sample_spec(990_017, subtype=2, phase="venous", slice_thickness_mm=5.0, length_mm=200.0)
    return make_phantom(spec).case


def test_the_starter_finds_the_pancreas_of_a_phantom_it_has_never_seen() -> None:
    case = phantom_case()
    model = load_model(SYSTEMS.get("starter"), "cpu")
    prediction = predict(case, model)
    assert case.labels is not None
    assert prediction.labels.geometry.is_same_as(case.volume.geometry)
    assert dice(prediction.labels.labels > 0, case.labels.labels > 0) > 0.8
    assert prediction.route == "region"
    assert sum(prediction.subtype_probabilities) in (0, pytest.approx(1.0, abs=1e-4))
