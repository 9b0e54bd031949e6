"""Fit the case-level subtype head on frozen features.

Shapes: N cases, V views of each, F pooled features.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.evaluation.classification import confusion_matrix, macro_f1
from engine.networks.heads import SubtypeHead

_DECAYS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # ours: tried by cross-validation
_NUM_FOLDS = 5
_EPOCHS = 300  # ours: the perceptron's loss is flat by then
_LEARNING_RATE = 1e-2  # ours


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A subtype head and how well it did on cases it had not seen.

    Args:
        head: Fitted on every case.
        weight_decay: Chosen by cross-validation.
        macro_f1: Of the out-of-fold predictions.
    """

    head: SubtypeHead
    weight_decay: float
    macro_f1: float


def fit_head(
    head: SubtypeHead, features_NVF: Tensor, subtypes_N: Tensor, *, seed: int
) -> FittedHead:
    """Choose the weight decay by stratified cross-validation, then fit on every case.

    Every view of a case trains, and the first one is asked; a fold holds all views of a case back.

    Args:
        head: Untrained; stays so.
        features_NVF: Pooled features of lesion cases, float32; first as in inference.
        subtypes_N: int64, 0 to S - 1.
        seed: Of folds and dropout.
    """
    num_subtypes = head.probe.out_features
    folds = _folds(subtypes_N.numpy(), seed)
    scores: dict[float, float] = {}
    for decay in _DECAYS:
        predicted = torch.zeros_like(subtypes_N)
        for fold in range(_NUM_FOLDS):
            held_out = torch.from_numpy(folds == fold)
            fitted = _fit(head, features_NVF[~held_out], subtypes_N[~held_out], decay, seed)
            with torch.inference_mode():
                predicted[held_out] = fitted(features_NVF[held_out, 0]).argmax(1)
        answers = confusion_matrix(subtypes_N.tolist(), predicted.tolist(), num_subtypes)
        scores[decay] = macro_f1(answers)
    best = max(scores, key=lambda decay: scores[decay])
    return FittedHead(_fit(head, features_NVF, subtypes_N, best, seed), best, scores[best])


def _fit(
    untrained: SubtypeHead, features_NVF: Tensor, subtypes_N: Tensor, decay: float, seed: int
) -> SubtypeHead:
    torch.manual_seed(seed)
    head = copy.deepcopy(untrained)
    features = features_NVF.flatten(0, 1)
    subtypes = subtypes_N.repeat_interleave(features_NVF.shape[1])
    head.mean.copy_(features.mean(0))
    head.sd.copy_(features.std(0).clamp_min(1e-3))
    inputs = head.standardise(features)
    counts = torch.bincount(subtypes, minlength=head.probe.out_features).float()
    # Balanced cases with plain cross-entropy; focal terms on top over-correct.
    weights = (len(subtypes) / (len(counts) * counts.clamp_min(1)))[subtypes]
    optimiser = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=decay)
    head.train()
    for _ in range(_EPOCHS):
        optimiser.zero_grad()
        loss = torch.zeros(())
        for branch in (head.probe, head.perceptron):
            each = F.cross_entropy(branch(inputs), subtypes, reduction="none")
            loss = loss + (each * weights).mean()
        # Decoupled decay alone hardly shrinks a probe with more inputs than cases.
        loss = loss + decay * head.probe.weight.square().sum() / 2
        loss.backward()
        optimiser.step()
    return head.eval()


def _folds(subtypes_N: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(subtypes_N), np.int64)
    for subtype in np.unique(subtypes_N):
        members = rng.permutation(np.flatnonzero(subtypes_N == subtype))
        folds[members] = np.arange(len(members)) % _NUM_FOLDS
    return folds
