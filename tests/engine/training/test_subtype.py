"""The subtype head learns what features tell, and no more."""

from __future__ import annotations

import torch

from engine.networks.heads import SubtypeHead
from engine.training.subtype import fit_head


def _head() -> SubtypeHead:
    torch.manual_seed(0)
    return SubtypeHead(num_stages=1, num_features=40, num_subtypes=3, hidden=8)


def _features(num: int, gap: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    subtypes = torch.arange(num) % 3
    features = torch.randn(num, 40, generator=generator)
    features[:, 5] += gap * (subtypes == 1)
    features[:, 9] += gap * (subtypes == 2)
    return features, subtypes


def test_separable_subtypes_are_told_apart_out_of_fold() -> None:
    fitted = fit_head(_head(), *_features(90, gap=5.0), seed=0)
    assert fitted.macro_f1 > 0.85


def test_the_score_of_noise_is_that_of_guessing() -> None:
    fitted = fit_head(_head(), *_features(90, gap=0.0), seed=0)
    assert fitted.macro_f1 < 0.55


def test_probabilities_sum_to_one_and_repeat() -> None:
    features, subtypes = _features(60, gap=3.0)
    fitted = fit_head(_head(), features, subtypes, seed=0)
    probabilities = fitted.head(features).exp()
    assert torch.allclose(probabilities.sum(1), torch.ones(60), atol=1e-5)
    assert torch.equal(probabilities, fitted.head(features).exp())
