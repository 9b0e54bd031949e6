"""Macro-F1, and the alarm for classifiers that always say the same."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from engine.evaluation.classification import (
    NO_ANSWER,
    accuracy,
    auroc,
    collapse_alarms,
    confusion_matrix,
    macro_auroc,
    macro_f1,
    macro_sensitivity,
    macro_specificity,
)

QUIZ = [0] * 9 + [1] * 15 + [2] * 12


@pytest.mark.parametrize(("answer", "score"), [(0, 0.13333), (1, 0.19608), (2, 0.16667)])
def test_constant_answers_score_their_closed_form_and_raise_the_alarm(
    answer: int, score: float
) -> None:
    matrix = confusion_matrix(QUIZ, [answer] * 36, 3)
    assert macro_f1(matrix) == pytest.approx(score, abs=5e-6)
    alarms = collapse_alarms(matrix)
    assert f"Subtype {answer} is the answer in 100% of the cases." in alarms
    assert any(alarm.startswith("Macro-F1 is no better than") for alarm in alarms)


def test_right_answers_score_one_without_alarm() -> None:
    matrix = confusion_matrix(QUIZ, QUIZ, 3)
    assert macro_f1(matrix) == accuracy(matrix) == 1.0
    assert collapse_alarms(matrix) == ()


def test_macro_f1_by_hand() -> None:
    matrix = confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3)
    assert macro_f1(matrix) == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    assert accuracy(matrix) == 0.5


def test_no_answer_is_counted_and_never_right() -> None:
    matrix = confusion_matrix([0, 1, 2], [0, NO_ANSWER, 2], 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    assert macro_f1(matrix) == pytest.approx(2 / 3)
    assert accuracy(matrix) == pytest.approx(2 / 3)


def test_silence_raises_the_alarm() -> None:
    assert collapse_alarms(confusion_matrix([0, 1], [NO_ANSWER, NO_ANSWER], 3)) == (
        "No case was given a subtype.",
    )


def test_without_cases_nothing_is_known() -> None:
    matrix = confusion_matrix([], [], 3)
    assert isnan(macro_f1(matrix))
    assert isnan(accuracy(matrix))


def test_a_missing_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="2 true classes but 1 answers"):
        confusion_matrix([0, 1], [0], 3)


def test_sensitivity_and_specificity_by_hand() -> None:
    # Of 0: one of two found, one of two others taken for it. Of 1: found; one of three taken.
    # Of 2: not found; none of three taken.
    matrix = confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3)
    assert macro_sensitivity(matrix) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert macro_specificity(matrix) == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)


def test_a_class_that_does_not_occur_has_no_sensitivity_and_one_alone_no_specificity() -> None:
    assert macro_sensitivity(confusion_matrix([0, 1], [0, 0], 3)) == 0.5
    # The other two classes are told from two cases each.
    assert macro_specificity(confusion_matrix([1, 1], [1, 1], 3)) == 1.0
    assert isnan(macro_specificity(confusion_matrix([0, 0], [0, 0], 1)))


@pytest.mark.parametrize(
    ("scores", "area"),
    [
        ([0.9, 0.8, 0.2, 0.1], 1.0),
        ([0.1, 0.2, 0.8, 0.9], 0.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5),
        ([0.9, 0.3, 0.3, 0.1], 3.5 / 4),
    ],
)
def test_the_area_is_how_often_a_positive_outscores_a_negative(
    scores: list[float], area: float
) -> None:
    assert auroc(np.array([True, True, False, False]), np.array(scores)) == pytest.approx(area)


def test_the_area_is_that_under_the_curve() -> None:
    generator = np.random.default_rng(2)
    positive = generator.random(80) < 0.4
    scores = np.round(generator.normal(size=80) + positive, 1)
    limits = [np.inf, *np.unique(scores)[::-1]]
    sensitivity = [(scores[positive] >= limit).mean() for limit in limits]
    false = [(scores[~positive] >= limit).mean() for limit in limits]
    assert auroc(positive, scores) == pytest.approx(np.trapezoid(sensitivity, false))


def test_areas_without_both_kinds_are_unknown_and_left_out_of_the_mean() -> None:
    assert isnan(auroc(np.array([True, True]), np.array([0.1, 0.2])))
    chances = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    assert macro_auroc(np.array([0, 1, 1]), chances) == 1.0
    assert isnan(macro_auroc(np.array([], np.int64), np.empty((0, 3))))
