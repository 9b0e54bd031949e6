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
    return features[:, None], subtypes


def test_separable_subtypes_are_told_apart_out_of_fold() -> None:
    fitted = fit_head(_head(), *_features(90, gap=5.0), seed=0)
    assert fitted.macro_f1 > 0.85


def test_the_score_of_noise_is_that_of_guessing() -> None:
    fitted = fit_head(_head(), *_features(90, gap=0.0), seed=0)
    assert fitted.macro_f1 < 0.55


def test_probabilities_sum_to_one_and_repeat() -> None:
    features, subtypes = _features(60, gap=3.0)
    fitted = fit_head(_head(), features, subtypes, seed=0)
    probabilities = fitted.head(features[:, 0]).exp()
    assert torch.allclose(probabilities.sum(1), torch.ones(60), atol=1e-5)
    assert torch.equal(probabilities, fitted.head(features[:, 0]).exp())


def test_other_views_of_a_case_that_is_held_back_do_not_tell_its_subtype() -> None:
    # The views of a case are all but copies: were one of them trained on, noise would be learnt.
    features, subtypes = _features(90, gap=0.0)
    aside = 0.01 * torch.randn(90, 3, 40, generator=torch.Generator().manual_seed(1))
    views = torch.cat([features, features + aside], 1)
    assert fit_head(_head(), views, subtypes, seed=0).macro_f1 < 0.55


def test_a_head_learns_to_look_past_where_the_window_lay() -> None:
    # One feature follows the subtype in the first view alone, another one in all of them.
    features, subtypes = _features(120, gap=1.5)
    aside = features + 0.5 * torch.randn(120, 3, 40, generator=torch.Generator().manual_seed(1))
    told = features.clone()
    told[:, 0, 0] += 3.0 * (subtypes - 1)
    head = fit_head(_head(), torch.cat([told, aside], 1), subtypes, seed=0).head
    alone = fit_head(_head(), told, subtypes, seed=0).head
    elsewhere = aside[:, 0]
    right = [float((h(elsewhere).argmax(1) == subtypes).float().mean()) for h in (head, alone)]
    assert right[0] > right[1] + 0.1
