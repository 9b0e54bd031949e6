"""A training that went wrong is noticed, and said in whole sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.training.alarms import (
    ClassifierWatch,
    DivergedError,
    check_finite,
    classifier_alarms,
)

_WANTED = [0] * 9 + [1] * 15 + [2] * 12


def _answers(answers: list[int], certainty: float) -> NDArray[np.float64]:
    other = (1 - certainty) / 2
    probabilities = np.full((len(answers), 3), other)
    probabilities[np.arange(len(answers)), answers] = certainty
    return probabilities


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_diverged_training_says_so(value: float) -> None:
    losses = {"segmentation": torch.tensor(0.3), "subtype": torch.tensor(value)}
    with pytest.raises(DivergedError) as caught:
        check_finite(losses, 17)
    assert caught.value.message == "The training diverged: the loss of step 17 is not a number."
    assert "learning rate" in caught.value.remedy


def test_a_sound_loss_passes() -> None:
    check_finite({"segmentation": torch.tensor(0.3, requires_grad=True)}, 0)


def test_a_good_classifier_raises_no_alarm() -> None:
    assert classifier_alarms(_WANTED, _answers(_WANTED, 0.9)) == []


@pytest.mark.parametrize(("answer", "score"), [(0, "0.133"), (1, "0.196"), (2, "0.167")])
def test_a_constant_answer_is_noticed_for_the_counts_at_hand(answer: int, score: str) -> None:
    alarms = classifier_alarms(_WANTED, _answers([answer] * 36, 0.36))
    assert alarms == [
        f"Subtype {answer} is the answer in 100% of the cases.",
        f"Macro-F1 is no better than the {score} of a constant answer.",
        "The answers hardly vary: their entropy is 0.00 of 1.10.",
        alarms[3],
    ]
    assert alarms[3].startswith("The cross-entropy of 1.")
    assert alarms[3].endswith(" is that of guessing, 1.10.")


def test_guessing_is_noticed_even_if_the_guesses_are_right() -> None:
    alarms = classifier_alarms(_WANTED, _answers(_WANTED, 0.34))
    assert alarms == ["The cross-entropy of 1.08 is that of guessing, 1.10."]
    assert classifier_alarms(_WANTED, _answers(_WANTED, 0.36)) == []


def test_answers_that_hardly_vary_are_noticed() -> None:
    answers = [1] * 34 + [0, 2]
    alarms = classifier_alarms(_WANTED, _answers(answers, 0.9))
    assert "Subtype 1 is the answer in 94% of the cases." in alarms
    assert "The answers hardly vary: their entropy is 0.25 of 1.10." in alarms


def test_a_watch_waits_for_enough_known_answers() -> None:
    watch = ClassifierWatch()
    for number in range(30):
        subtype = number % 3 if number < 19 else -1
        watch.add(torch.tensor([subtype]), torch.tensor([[9.0, 0.0, 0.0]]))
    assert watch.alarms() == []
    watch.add(torch.tensor([1]), torch.tensor([[9.0, 0.0, 0.0]]))
    assert "Subtype 0 is the answer in 100% of the cases." in watch.alarms()


def test_a_watch_forgets_what_is_long_ago() -> None:
    watch = ClassifierWatch()
    watch.add(torch.arange(3).repeat(30), torch.zeros(90, 3))
    assert watch.alarms()
    subtypes = torch.arange(3).repeat(40)
    watch.add(subtypes, torch.nn.functional.one_hot(subtypes, 3) * 5.0)
    assert watch.alarms() == []
