"""Fit the case-level subtype head on frozen features.

Shapes: N cases, F pooled features.
"""

from __future__ import annotations

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
    features_NF: Tensor, subtypes_N: Tensor, *, hidden: int, dropout: float, seed: int
) -> FittedHead:
    """Choose the weight decay by stratified cross-validation, then fit on every case.

    Args:
        features_NF: Pooled features of lesion cases, float32.
        subtypes_N: int64, 0 to S - 1.
        hidden: Width of the perceptron.
        dropout: Share of hidden units dropped in training.
        seed: Of folds and initial weights.
    """
    num_subtypes = int(subtypes_N.max()) + 1
    folds = _folds(subtypes_N.numpy(), seed)
    scores: dict[float, float] = {}
    for decay in _DECAYS:
        predicted = torch.zeros_like(subtypes_N)
        for fold in range(_NUM_FOLDS):
            held_out = torch.from_numpy(folds == fold)
            head = _new_head(features_NF, num_subtypes, hidden, dropout, seed)
            _fit(head, features_NF[~held_out], subtypes_N[~held_out], decay)
            with torch.inference_mode():
                predicted[held_out] = head(features_NF[held_out]).argmax(1)
        answers = confusion_matrix(subtypes_N.tolist(), predicted.tolist(), num_subtypes)
        scores[decay] = macro_f1(answers)
    best = max(scores, key=lambda decay: scores[decay])
    head = _new_head(features_NF, num_subtypes, hidden, dropout, seed)
    _fit(head, features_NF, subtypes_N, best)
    return FittedHead(head, best, scores[best])


def _new_head(
    features_NF: Tensor, num_subtypes: int, hidden: int, dropout: float, seed: int
) -> SubtypeHead:
    torch.manual_seed(seed)
    return SubtypeHead(
        num_features=features_NF.shape[1],
        num_subtypes=num_subtypes,
        hidden=hidden,
        dropout=dropout,
    )


def _fit(head: SubtypeHead, features_NF: Tensor, subtypes_N: Tensor, decay: float) -> None:
    head.mean.copy_(features_NF.mean(0))
    head.sd.copy_(features_NF.std(0).clamp_min(1e-3))
    inputs = head.standardise(features_NF)
    counts = torch.bincount(subtypes_N, minlength=head.probe.out_features).float()
    # Balanced cases with plain cross-entropy; focal terms on top over-correct.
    case_weights = (len(subtypes_N) / (len(counts) * counts.clamp_min(1)))[subtypes_N]
    optimiser = torch.optim.AdamW(head.parameters(), lr=_LEARNING_RATE, weight_decay=decay)
    head.train()
    for _ in range(_EPOCHS):
        optimiser.zero_grad()
        loss = torch.zeros(())
        for branch in (head.probe, head.perceptron):
            each = F.cross_entropy(branch(inputs), subtypes_N, reduction="none")
            loss = loss + (each * case_weights).mean()
        # Decoupled decay alone hardly shrinks a probe with more inputs than cases.
        loss = loss + decay * head.probe.weight.square().sum() / 2
        loss.backward()
        optimiser.step()
    head.eval()


def _folds(subtypes_N: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(subtypes_N), np.int64)
    for subtype in np.unique(subtypes_N):
        members = rng.permutation(np.flatnonzero(subtypes_N == subtype))
        folds[members] = np.arange(len(members)) % _NUM_FOLDS
    return folds
