from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case, Identity
from engine.finding import Box, Finding, Prediction, Review
from engine.geometry import from_spacing
from engine.interop.checked_json import DamagedJsonError
from engine.interop.findings_json import (
    NewerSchemaError,
    findings_from_json,
    prediction_from_json,
    prediction_to_json,
    run_to_json,
)
from engine.volume import LabelMap, Remark, Volume

SHAPE = (3, 4, 5)
DOCS = Path(__file__).parents[3] / "docs" / "findings.md"


@pytest.fixture
def case() -> Case:
    geometry = from_spacing(SHAPE, (5.0, 2.0, 1.0), (-10.0, -20.0, 30.0))
    remarks = (Remark("The gantry was tilted by 12.0 degrees."),)
    volume = Volume(np.zeros(SHAPE, np.int16), geometry, remarks)
    return Case("case-7", volume, identity=Identity(patient_name="DOE^JANE", patient_id="4711"))


@pytest.fixture
def prediction(case) -> Prediction:
    labels = np.zeros(SHAPE, np.uint8)
    labels[0] = 1
    labels[1, :2] = 2
    finding = Finding(
        finding_id="lesion-1",
        structure="lesion",
        probability=0.75,
        centre_mm=(-8.0, -19.0, 35.0),
        box_mm=Box((-10.5, -21.0, 32.5), (-5.5, -17.0, 37.5)),
        volume_mm3=100.0,
        longest_diameter_mm=6.4,
        short_axis_mm=4.0,
        mean_hu=38.5,
        sd_hu=9.25,
        subtype=1,
        review=Review.REJECTED,
        reason="A vessel.",
    )
    return Prediction(
        case_id="case-7",
        system="starter",
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, case.volume.geometry),
        findings=(finding,),
        subtype_probabilities=(0.2, 0.7, 0.1),
        seconds={"prepare": 0.5, "windows": 4.0},
        weights_digest="ab" * 32,
        device="cuda:0",
        precision="bf16",
        route="region",
        peak_memory_bytes=123_456_789,
    )


def through_a_file(document: dict) -> dict:
    return json.loads(json.dumps(document, allow_nan=False))


def test_findings_survive_the_round_trip(prediction, case):
    said = findings_from_json(through_a_file(prediction_to_json(prediction, case)))
    assert said.findings == prediction.findings
    assert said.subtype_probabilities == prediction.subtype_probabilities
    assert (said.case_id, said.system) == ("case-7", "starter")
    assert said.weights_digest == "ab" * 32
    assert said.geometry.is_same_as(case.volume.geometry)
    assert said.label_names == {1: "pancreas", 2: "lesion"}
    assert said.remarks == ("The gantry was tilted by 12.0 degrees.",)


def test_prediction_survives_the_round_trip_whole(prediction, case):
    again = prediction_from_json(
        through_a_file(prediction_to_json(prediction, case)),
        through_a_file(run_to_json(prediction)),
        prediction.labels,
    )
    for field in fields(Prediction):
        assert getattr(again, field.name) == getattr(prediction, field.name), field.name


def test_volumes_are_given_in_mm3_and_in_ml(prediction, case):
    document = prediction_to_json(prediction, case)
    pancreas, lesion = document["structures"]
    assert (pancreas["label"], pancreas["name"]) == (1, "pancreas")
    assert pancreas["volume_mm3"] == pytest.approx(200.0)
    assert pancreas["volume_ml"] == pytest.approx(0.2)
    assert lesion["volume_mm3"] == prediction.labels.volume_mm3("lesion")
    assert document["findings"][0]["volume_ml"] == 0.1


def test_a_lesion_without_an_outline_says_so_and_comes_back(prediction, case):
    boxed = replace(prediction.findings[0], volume_mm3=0.0)
    document = prediction_to_json(replace(prediction, findings=(boxed,)), case)
    assert document["findings"][0]["outlined"] is False
    assert prediction_to_json(prediction, case)["findings"][0]["outlined"] is True
    assert findings_from_json(through_a_file(document)).findings == (boxed,)


def test_a_document_from_before_boxes_is_still_read(prediction, case):
    document = prediction_to_json(prediction, case)
    del document["findings"][0]["outlined"]
    assert findings_from_json(document).findings == prediction.findings


def test_document_says_research_use_only_and_its_units(prediction, case):
    document = prediction_to_json(prediction, case)
    assert document["notice"].startswith("Research use only.")
    assert "LPS" in document["units"]["position"]
    assert document["schema_version"] == 1


def test_document_names_no_patient(prediction, case):
    text = json.dumps([prediction_to_json(prediction, case), run_to_json(prediction)])
    assert "DOE" not in text
    assert "4711" not in text


def test_run_says_what_the_prediction_cost(prediction):
    run = run_to_json(prediction)
    assert run["stage_seconds"] == {"prepare": 0.5, "windows": 4.0}
    assert list(run["stage_seconds"]) == ["prepare", "windows"]
    assert run["total_seconds"] == 4.5
    assert (run["device"], run["precision"], run["route"]) == ("cuda:0", "bf16", "region")
    assert run["peak_memory_bytes"] == 123_456_789


def test_case_without_findings_is_a_valid_document(prediction, case):
    document = prediction_to_json(prediction, case)
    document.update(findings=[], subtype_probabilities=[])
    assert findings_from_json(document).findings == ()


@pytest.mark.parametrize(
    ("place", "value", "field", "expected"),
    [
        (("schema",), "other", "islet.findings.schema", "one of islet.findings"),
        (("schema_version",), 0.5, "islet.findings.schema_version", "a whole number"),
        (("case_id",), 5, "islet.findings.case_id", "a text"),
        (("geometry",), [], "islet.findings.geometry", "an object"),
        (("geometry", "shape"), [1, 2], "islet.findings.geometry.shape", "three numbers"),
        (
            ("geometry", "affine"),
            [[1, 0, 0]],
            "islet.findings.geometry.affine",
            "four rows of four numbers",
        ),
        (("structures",), {}, "islet.findings.structures", "a list"),
        (("remarks",), [1], "islet.findings.remarks", "a list of texts"),
        (
            ("subtype_probabilities",),
            ["0.5"],
            "islet.findings.subtype_probabilities",
            "a list of numbers",
        ),
        (
            ("findings", 0, "probability"),
            1.5,
            "islet.findings.findings[0].probability",
            "a number from 0 to 1",
        ),
        (
            ("findings", 0, "mean_hu"),
            float("nan"),
            "islet.findings.findings[0].mean_hu",
            "a number",
        ),
        (
            ("findings", 0, "centre_mm"),
            None,
            "islet.findings.findings[0].centre_mm",
            "a list of numbers",
        ),
        (
            ("findings", 0, "subtype"),
            True,
            "islet.findings.findings[0].subtype",
            "a whole number",
        ),
        (
            ("findings", 0, "review", "state"),
            "maybe",
            "islet.findings.findings[0].review.state",
            "one of proposed, confirmed, rejected",
        ),
    ],
)
def test_damaged_field_is_named_with_what_it_should_be(
    prediction, case, place, value, field, expected
):
    document = deepcopy(prediction_to_json(prediction, case))
    target = document
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    with pytest.raises(DamagedJsonError) as caught:
        findings_from_json(document)
    assert caught.value.field == field
    assert caught.value.message == (
        f"The file is damaged or of another kind: '{field}' should be {expected}."
    )
    assert caught.value.remedy == (
        "Write the file again with 'islet predict', or open another one."
    )


@pytest.mark.parametrize("name", ["case_id", "findings", "geometry", "structures", "remarks"])
def test_missing_field_is_refused(prediction, case, name):
    document = prediction_to_json(prediction, case)
    del document[name]
    with pytest.raises(DamagedJsonError, match=name):
        findings_from_json(document)


def test_document_of_a_later_islet_is_refused_with_advice(prediction, case):
    document = prediction_to_json(prediction, case) | {"schema_version": 2}
    with pytest.raises(NewerSchemaError) as caught:
        findings_from_json(document)
    assert caught.value.message == (
        "The file follows version 2 of islet.findings; this Islet knows version 1."
    )
    assert caught.value.remedy == "Update Islet, or write the file again with this version."


def test_every_field_is_documented(prediction, case):
    page = DOCS.read_text()

    def names(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                yield from names(inner)
        elif isinstance(value, list) and value:
            yield from names(value[0])

    document = prediction_to_json(prediction, case)
    written = [*names(document), *run_to_json(prediction)]
    unit_names = set(document["units"])
    missing = [name for name in written if name not in page and name not in unit_names]
    assert missing == []
