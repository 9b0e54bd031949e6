"""Fit the staged subtype head: a trained network describes each case, then a small head learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.data.store import StoredCase
from engine.inference.classify import case_features
from engine.inference.sliding_window import infer
from engine.networks.build import MultitaskNetwork, subtype_head
from engine.progress import OnProgress, ignore_progress
from engine.run import Plan
from engine.training.subtype import FittedHead, fit_head
from engine.training.validate import crop_to_region

# ours: a network that normalises over its window describes a case a little differently wherever
# the window lies, and that depends on what else it took for a lesion
_NUM_VIEWS = 4
_SHIFT_SHARE = 1 / 8  # ours: of the window, by which it is moved at most along each axis


def fit_subtype(
    network: MultitaskNetwork,
    plan: Plan,
    cases: Sequence[StoredCase],
    on_progress: OnProgress = ignore_progress,
) -> FittedHead | None:
    """Fit the subtype head of `plan.system` on lesion cases, everything else frozen.

    Each case is looked at as inference would, and through windows a little aside.

    Returns:
        None where too few cases have a subtype to hold some back.
    """
    typed = [case for case in cases if case.subtype is not None]
    counts = np.bincount([case.subtype for case in typed if case.subtype is not None])
    if len(counts) < len(plan.system.subtypes) or counts.min(initial=2) < 2:
        return None
    features: list[torch.Tensor] = []
    for number, case in enumerate(typed):
        on_progress("features", number / len(typed))
        features.append(_features(network, plan, case, np.random.default_rng((plan.seed, number))))
    on_progress("features", 1.0)
    # A resumed training comes here with another state of the random numbers.
    torch.manual_seed(plan.seed)
    head = subtype_head(plan.system, network.trunk.stage_features)
    assert head is not None, "only systems with a staged subtype head come here"
    subtypes = torch.tensor([case.subtype for case in typed])
    return fit_head(head, torch.stack(features), subtypes, seed=plan.seed)


def _features(
    network: MultitaskNetwork, plan: Plan, case: StoredCase, rng: np.random.Generator
) -> torch.Tensor:
    """Return the pooled features (V, F) of every view of a case."""
    region = crop_to_region(case, plan.system)
    image = np.asarray(region.image[:], dtype=np.float32)
    settings = plan.system.inference
    device = torch.device(plan.device)
    probabilities = infer(
        network,
        image,
        patch_shape=settings.patch_shape,
        step=settings.step,
        device=device,
        precision=plan.precision,
    )
    most = (_SHIFT_SHARE * np.array(settings.patch_shape)).astype(int)
    asides = rng.integers(-most, most + 1, (_NUM_VIEWS - 1, 3))
    views = [
        case_features(
            network,
            image,
            probabilities,
            patch_shape=settings.patch_shape,
            device=device,
            precision=plan.precision,
            offset=(slices, rows, columns),
        )
        for slices, rows, columns in [(0, 0, 0), *asides.tolist()]
    ]
    # Not of an inference mode any more: the head learns from it.
    return torch.cat(views).cpu().clone()
