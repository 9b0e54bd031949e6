"""Predictions are compared case by case, summed up, and written down."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from math import isnan

import numpy as np
import pytest

from engine.case import Case
from engine.catalogue import SYSTEMS
from engine.components import find_components
from engine.evaluation.compare import Abilities, abilities_of, compare
from engine.evaluation.evaluate import Evaluation, evaluate, pool
from engine.evaluation.rows_json import DamagedEvaluationError, evaluation_from_json
from engine.evaluation.table import (
    cases_csv,
    cases_markdown,
    confusion_markdown,
    figures_markdown,
    published_markdown,
    to_json,
)
from engine.finding import Finding, Prediction
from engine.geometry import from_spacing
from engine.system import Part
from engine.volume import LabelMap, Volume

GEOMETRY = from_spacing((10, 20, 30), (2.0, 1.0, 1.0))
NAMES = {1: "pancreas", 2: "lesion"}


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested where they are made."""
    monkeypatch.setattr("engine.evaluation.bootstrap._NUM_DRAWS", 400)


def label_map(lesion_at: int | None) -> LabelMap:
    """Return a pancreas of columns 4 to 24, with a lesion of 4 columns where one is wanted."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[3:7, 5:15, 4:24] = 1
    if lesion_at is not None:
        labels[4:6, 8:12, lesion_at : lesion_at + 4] = 2
    return LabelMap(labels, NAMES, GEOMETRY)


def case(name: str, lesion_at: int | None = None, subtype: int | None = None) -> Case:
    volume = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY)
    return Case(
        name, volume, label_map(lesion_at), annotated=frozenset(NAMES.values()), subtype=subtype
    )


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
    with_interval = [figure for figure in found.figures if not isnan(figure.interval[0])]
    assert len(with_interval) > 20
    for figure in with_interval:
        low, high = figure.interval
        assert low - 1e-9 <= figure.value <= high + 1e-9
    again = evaluate(pairs(), seed=4)
    np.testing.assert_equal(to_json(found), to_json(again))


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
    missed = "| missed | 1.000 | 1.000 | 0.000 | 0.000 | 0.000 | – | 2 | – | 1 | 0 | 0 |\n"
    assert missed in cases_markdown(found)


def test_cases_are_sorted_into_sick_and_healthy_by_their_surest_finding() -> None:
    found = evaluated()
    # Sick: 0.9, 0.9 and none; healthy: none and 0.9. Pairs won: 1 + 1/2 twice, 1/2 + 0.
    assert found.figure("Case AUROC").value == pytest.approx((1.5 + 1.5 + 0.5) / 6)
    assert found.figure("Case sensitivity").value == pytest.approx(2 / 3)
    assert found.figure("Case specificity").value == 0.5
    assert found.figure("Case accuracy").value == pytest.approx(3 / 5)
    # Three said 0.9 and two were right; two said 0 and one was right. One bin: means 0.54, 0.6.
    assert found.figure("Case ECE").value == pytest.approx(abs(2.7 / 5 - 3 / 5))
    assert isnan(found.figure("Case ECE").interval[0])


def test_surfaces_and_boxes_have_figures_of_their_own() -> None:
    found = evaluated()
    assert found.figure("Pancreas NSD at 2 mm").value == 1.0
    assert found.figure("Pancreas HD95 in mm").value == 0.0
    # Shifted by two columns of 1 mm.
    assert found.figure("Lesion HD95 in mm").value == pytest.approx((0 + 2.0) / 2)
    assert found.figure("Lesion HD95 in mm").num_cases == 2
    assert found.figure("Lesion NSD at 2 mm").value == pytest.approx(2 / 3)
    # The shifted box overlaps by a third: a hit at 0.1 to 0.3 only.
    assert found.figure("Lesion mAR at IoU 0.1 to 0.5").value == pytest.approx(
        (5 * 2 + 4 * 1) / 9 / 3
    )
    assert found.figure("Mean Dice of pancreas and lesion").value == pytest.approx(0.75)


def test_what_nobody_looked_for_is_not_compared() -> None:
    unknown = replace(case("a"), annotated=frozenset({"pancreas"}))
    row = compare(unknown, prediction("a", 8))
    assert row.has_lesion is None
    assert not row.is_healthy
    assert row.pancreas_dice == 1.0
    assert isnan(row.lesion_dice)
    with_unknown = evaluate([*pairs(), (unknown, prediction("a", 8))], seed=4)
    untouched = ("Lesion", "False", "Case", "Subtype")
    for figure in evaluated().figures:
        if figure.name.startswith(untouched):
            np.testing.assert_equal(with_unknown.figure(figure.name).value, figure.value)


def test_a_labelled_lesion_counts_also_where_the_case_does_not_say_who_looked() -> None:
    assert compare(replace(case("a", 8), annotated=frozenset()), prediction("a", 8)).has_lesion


def test_an_unlabelled_pancreas_is_not_compared() -> None:
    empty = LabelMap(np.zeros(GEOMETRY.shape, np.uint8), NAMES, GEOMETRY)
    unknown = replace(case("a"), labels=empty, annotated=frozenset({"lesion"}))
    row = compare(unknown, prediction("a", None))
    assert isnan(row.pancreas_dice)
    assert row.is_healthy


def test_labels_that_know_no_lesion_have_none() -> None:
    organ = LabelMap(label_map(None).labels, {1: "pancreas"}, GEOMETRY)
    row = compare(replace(case("a"), labels=organ), replace(prediction("a", None), labels=organ))
    assert row.is_healthy
    assert row.detections.num_lesions == 0


@pytest.mark.parametrize(
    ("abilities", "known", "unknown"),
    [
        (
            Abilities((), False, ("a", "b", "c")),
            ("Subtype accuracy", "Seconds per case"),
            ("Pancreas Dice", "Lesion Dice", "Lesion mAP at IoU 0.1 to 0.5", "Case AUROC"),
        ),
        (
            Abilities((), True, ()),
            ("Lesion mAP at IoU 0.1 to 0.5", "Case AUROC"),
            ("Pancreas Dice", "Lesion HD95 in mm", "Subtype accuracy", "Subtype AUROC"),
        ),
        (
            Abilities(("pancreas",), False, ()),
            ("Pancreas Dice",),
            ("Lesion Dice", "Lesions found", "Case ECE", "Subtype ECE"),
        ),
    ],
)
def test_what_a_system_cannot_do_is_a_dash_and_null(
    abilities: Abilities, known: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    found = evaluate(pairs(), abilities=abilities)
    written = json.loads(json.dumps(to_json(found), allow_nan=False))
    texts = (figures_markdown(found), cases_markdown(found), published_markdown(found))
    assert not any("nan" in text for text in (*texts, cases_csv(found)))
    for name in known:
        assert written["figures"][name]["value"] is not None
    for name in unknown:
        assert written["figures"][name] == {
            "value": None,
            "interval_95": [None, None],
            "num_cases": 0,
        }
        assert f"| {name} | – | – | 0 |\n" in figures_markdown(found)


def test_heads_say_what_a_system_can_be_asked_for() -> None:
    starter = SYSTEMS.get("starter")
    both = abilities_of(starter)
    assert both == Abilities(("pancreas", "lesion"), True, starter.subtypes)
    boxes = replace(starter, heads=(Part("detection"),), subtypes=())
    assert abilities_of(boxes) == Abilities((), True, ())
    types = replace(starter, heads=(Part("densenet"),))
    assert abilities_of(types) == Abilities((), False, starter.subtypes)


def test_an_evaluation_survives_its_file() -> None:
    found = evaluated()
    again = evaluation_from_json(json.loads(json.dumps(to_json(found))), seed=4)
    np.testing.assert_equal(to_json(again), to_json(found))


@pytest.mark.parametrize("damaged", [None, [], {}, {"system": "a", "cases": [{}]}])
def test_a_damaged_file_is_refused_with_a_remedy(damaged: object) -> None:
    with pytest.raises(DamagedEvaluationError, match="damaged or of another version") as caught:
        evaluation_from_json(damaged)
    assert caught.value.remedy == "Delete it and evaluate the run again."


def test_folds_are_pooled_case_by_case() -> None:
    first, second = pairs()[:2], pairs()[2:]
    second = [(c, replace(p, weights_digest="cd")) for c, p in second]
    pooled = pool([evaluate(first), evaluate(second)], seed=4)
    assert pooled.weights_digest == "ab,cd"
    np.testing.assert_equal(to_json(pooled)["figures"], to_json(evaluated())["figures"])


def test_folds_that_do_not_belong_together_are_refused() -> None:
    one = evaluate(pairs()[:2])
    with pytest.raises(ValueError, match="a case is in two folds"):
        pool([one, one])
    other = evaluate([(c, replace(p, system="other")) for c, p in pairs()[2:]])
    with pytest.raises(ValueError, match="folds of one system"):
        pool([one, other])


def test_csv_has_a_line_for_every_case() -> None:
    lines = list(csv.DictReader(cases_csv(evaluated()).splitlines()))
    assert [line["case_id"] for line in lines] == [c.case_id for c, _ in pairs()]
    assert lines[1]["lesion_dice"] == "0.5"
    assert lines[3]["lesion_dice"] == lines[2]["probability_0"] == ""
    assert lines[0]["probability_0"] == "0.8"
    assert lines[4]["num_false"] == "1"
