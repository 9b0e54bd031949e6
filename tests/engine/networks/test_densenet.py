"""The patch-level subtype head is MONAI's DenseNet behind the segmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from engine.catalogue.starter import STARTER
from engine.networks.densenet import DenseNetHead
from engine.networks.resenc import num_parameters

_TINY: dict[str, Any] = {"blocks": (1, 1), "growth": 8, "init_features": 8}


def tiny(**params: Any) -> DenseNetHead:
    torch.manual_seed(0)
    return DenseNetHead(STARTER, None, **{**_TINY, **params})


def test_on_logits_it_is_densenet121_of_monai() -> None:
    from monai.networks.nets.densenet import DenseNet121

    graded = replace(STARTER, subtypes=("low", "high"))
    theirs = DenseNet121(spatial_dims=3, in_channels=3, out_channels=2)
    ours = DenseNetHead(graded, None, sees="logits", norm="batch")
    assert num_parameters(theirs) == num_parameters(ours) == 11_288_578
    ours.densenet.load_state_dict(theirs.state_dict())
    logits = torch.randn(1, 3, 32, 32, 32)
    with torch.inference_mode():
        said = ours.eval()(torch.zeros(1, 1, 32, 32, 32), (), (logits,))
        torch.testing.assert_close(said, theirs.eval()(logits))


def test_it_says_one_logit_per_subtype() -> None:
    logits = torch.randn(2, 3, 16, 16, 16)
    assert tiny()(torch.zeros(2, 1, 16, 16, 16), (), (logits,)).shape == (2, 3)


@pytest.mark.parametrize(
    ("sees", "matters"), [("logits", False), ("probabilities_and_image", True)]
)
def test_the_image_matters_where_it_is_seen(sees: str, matters: bool) -> None:
    head = tiny(sees=sees)
    logits, image = torch.randn(1, 3, 16, 16, 16), torch.randn(1, 1, 16, 16, 16)
    same = torch.equal(head(image, (), (logits,)), head(torch.flip(image, [2]), (), (logits,)))
    assert same != matters


def test_its_gradient_reaches_the_segmentation() -> None:
    logits = torch.randn(1, 3, 16, 16, 16, requires_grad=True)
    tiny()(torch.randn(1, 1, 16, 16, 16), (), (logits,)).logsumexp(1).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.any())


def test_samples_of_a_batch_do_not_mix_under_group_normalisation() -> None:
    head = tiny().train()
    logits, image = torch.randn(2, 3, 16, 16, 16), torch.randn(2, 1, 16, 16, 16)
    together = head(image, (), (logits,))
    alone = [head(image[i : i + 1], (), (logits[i : i + 1],)) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("params", [{"sees": "nothing"}, {"norm": "none"}])
def test_unknown_settings_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="sees must be one of"):
        tiny(**params)
