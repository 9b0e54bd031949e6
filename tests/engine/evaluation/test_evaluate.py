"""Predictions are compared case by case, summed up, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from math import isnan

import numpy as np
import pytest

from engine.case import Case
from engine.components import find_components
from engine.evaluation.evaluate import Evaluation, compare, evaluate
from engine.evaluation.table import (
    cases_markdown,
    confusion_markdown,
    figures_markdown,
    to_json,
)
from engine.finding import Finding, Prediction
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume

GEOMETRY = from_spacing((10, 20, 30), (2.0, 1.0, 1.0))
NAMES = {1: "pancreas", 2: "lesion"}


def label_map(lesion_at: int | None) -> LabelMap:
    """Return a pancreas of columns 4 to 24, with a lesion of 4 columns where one is wanted."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[3:7, 5:15, 4:24] = 1
    if lesion_at is not None:
        labels[4:6, 8:12, lesion_at : lesion_at + 4] = 2
    return LabelMap(labels, NAMES, GEOMETRY)


def case(name: str, lesion_at: int | None = None, subtype: int | None = None) -> Case:
    volume = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY)
    return Case(name, volume, label_map(lesion_at), subtype=subtype)


def prediction(name: str, lesion_at: int | None, chances: tuple[float, ...] = ()) -> Prediction:
    labels = label_map(lesion_at)
    findings = tuple(
        Finding("lesion-1", "lesion", 0.9, c.centre_mm, c.box_mm, c.volume_mm3, 1.0, 1.0, 0.0, 1.0)
        for c in find_components(labels, "lesion")
    )
    return Prediction(name, "toy", labels, findings, chances, {"infer": 1.5, "restore": 0.5}, "ab")


def pairs() -> list[tuple[Case, Prediction]]:
    return [
        (case("hit", 8, 0), prediction("hit", 8, (0.8, 0.1, 0.1))),
        (case("half", 8, 1), prediction("half", 10, (0.6, 0.3, 0.1))),
        (case("missed", 8, 2), prediction("missed", None)),
        (case("healthy"), prediction("healthy", None)),
        (case("alarm"), prediction("alarm", 12, (0.2, 0.2, 0.6))),
    ]


@cache
def evaluated() -> Evaluation:
    return evaluate(pairs(), seed=4)


def test_figures_are_those_computed_by_hand() -> None:
    found = evaluated()
    assert found.figure("Pancreas Dice").value == 1.0
    assert found.figure("Lesion Dice").value == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.figure("Lesion Dice").num_cases == 3
    # Answers 0, 0 and none for subtypes 0, 1 and 2.
    assert found.confusion == ((1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1))
    assert found.figure("Subtype macro-F1").value == pytest.approx(2 / 3 / 3)
    assert found.figure("Lesions found").value == pytest.approx(2 / 3)
    # Two hits and one false box of equal probability, three lesions.
    assert found.figure("Lesion AP at IoU 0.1").value == pytest.approx(2 / 3 * 2 / 3)
    assert found.figure("False lesions per healthy case").value == 0.5
    assert found.figure("False lesions per case").value == pytest.approx(1 / 5)
    assert found.figure("Seconds per case").value == 2.0
    assert found.alarms == ("Subtype 0 is the answer in 100% of the cases.",)


def test_intervals_hold_the_value_and_repeat_with_the_seed() -> None:
    found = evaluated()
    for figure in found.figures:
        low, high = figure.interval
        assert low <= figure.value <= high
    assert found.figures == evaluate(pairs(), seed=4).figures


def test_a_whole_pancreas_is_pancreas_and_lesion_together() -> None:
    row = compare(case("a", 8, 0), prediction("a", None))
    assert row.pancreas_dice == 1.0
    assert row.lesion_dice == 0.0


def test_a_healthy_case_has_no_lesion_dice() -> None:
    row = compare(case("a"), prediction("a", 8))
    assert isnan(row.lesion_dice)
    assert row.is_healthy
    assert row.detections.num_false == 1


def test_an_unknown_figure_is_an_error() -> None:
    with pytest.raises(KeyError):
        evaluated().figure("Beauty")


def test_pairs_that_cannot_be_compared_are_refused() -> None:
    good = prediction("a", 8)
    with pytest.raises(ValueError, match="no reference labels"):
        compare(replace(case("a", 8), labels=None), good)
    other = LabelMap(good.labels.labels, NAMES, from_spacing(GEOMETRY.shape, (2.0, 1.0, 1.1)))
    with pytest.raises(ValueError, match="differ in geometry"):
        compare(case("a", 8), replace(good, labels=other))
    with pytest.raises(ValueError, match="predictions of one system"):
        evaluate([(case("a", 8), good), (case("b", 8), replace(good, system="other"))])
    with pytest.raises(ValueError, match="predictions of one system"):
        evaluate([])


def test_json_has_every_case_and_no_nan() -> None:
    written = json.loads(json.dumps(to_json(evaluated()), allow_nan=False))
    assert [row["case_id"] for row in written["cases"]] == [c.case_id for c, _ in pairs()]
    assert written["cases"][3]["lesion_dice"] is None
    assert written["cases"][2]["answer"] is None
    assert written["figures"]["Lesion Dice"]["value"] == pytest.approx(0.5)
    assert written["num_cases"] == 5


def test_markdown_tables_have_a_row_for_each_figure_subtype_and_case() -> None:
    found = evaluated()
    assert "| Lesion Dice | 0.500 | 0.000 to 1.000 | 3 |\n" in figures_markdown(found)
    assert "| b | 1 | 0 | 0 | 0 |\n" in confusion_markdown(found, ("a", "b", "c"))
    assert "| missed | 1.000 | 0.000 | 2 | – | 1 | 0 | 0 |\n" in cases_markdown(found)
