"""The loss of the variational branch agrees with its closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from engine.training.batch import Batch
from engine.training.vae_loss import vae_loss


@dataclass
class _Restored:
    image_BCDHW: torch.Tensor
    mean_BF: torch.Tensor
    sd_BF: torch.Tensor


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _batch() -> Batch:
    return Batch(
        _random(2, 1, 2, 3, 3),
        torch.zeros(2, 2, 3, 3, dtype=torch.long),
        torch.ones(2, 2, dtype=torch.bool),
        (torch.zeros(0, 6),) * 2,
        torch.tensor([-1, -1]),
    )


_PRIOR = _Restored(_batch().image_BCDHW, torch.zeros(2, 4), torch.ones(2, 4))


def test_a_perfect_copy_from_the_prior_costs_nothing() -> None:
    assert float(vae_loss(_PRIOR, _batch())) == pytest.approx(0, abs=1e-7)


def test_the_divergence_is_that_of_two_normals() -> None:
    mean, sd = _random(2, 4), _random(2, 4).abs() + 0.1
    wanted = kl_divergence(Normal(mean, sd), Normal(0.0, 1.0)).mean()
    given = replace(_PRIOR, mean_BF=mean, sd_BF=sd)
    assert torch.allclose(vae_loss(given, _batch(), kl=1, l2=0), wanted, rtol=1e-4)


def test_a_constant_error_costs_its_square() -> None:
    given = replace(_PRIOR, image_BCDHW=_batch().image_BCDHW + 2)
    assert float(vae_loss(given, _batch())) == pytest.approx(0.3 * 4)
