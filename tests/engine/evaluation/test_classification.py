"""Macro-F1, and the alarm for classifiers that always say the same."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from engine.evaluation.classification import (
    NO_ANSWER,
    accuracy,
    collapse_alarms,
    confusion_matrix,
    macro_f1,
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
