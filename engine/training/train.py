"""Train a whole system on a data set: localiser, segmentation, subtype head."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engine.data.datasets import find_entries
from engine.data.store import StoredCase, read_store, write_case
from engine.inference.classify import case_features
from engine.inference.device import choose_precision
from engine.inference.model import save_model
from engine.inference.sliding_window import infer
from engine.networks.build import MultitaskNetwork, subtype_head
from engine.progress import OnProgress, ignore_progress
from engine.run import EpochRecord, Plan
from engine.system import System
from engine.training.fit import fit_segmentation
from engine.training.subtype import FittedHead, fit_head

log = logging.getLogger(__name__)

_CPU = torch.device("cpu")

OnEpoch = Callable[[str, EpochRecord], None]


def train_system(
    system: System,
    dataset: Path,
    folder: Path,
    *,
    seed: int,
    on_epoch: OnEpoch,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    """Train every part of `system` and write its weights.

    What is finished in `folder` is kept: called again after an interruption, it goes on.

    Args:
        system: What to train; its localiser is trained first.
        dataset: nnU-Net raw layout with `subtypes.csv`.
        folder: Of this run: stores, checkpoints and `weights.safetensors`.
        seed: Of every random choice.
        on_epoch: Told (system name, record) after every epoch.
        on_progress: Told how far preparation and feature extraction are.

    Returns:
        The weights file.
    """
    parts = [system] if system.localiser is None else [system.localiser, system]
    networks: list[MultitaskNetwork] = []
    for part in parts:
        store = folder / f"{part.name}.store"
        prepare_store(part, dataset, store, on_progress)
        networks.append(_fit_part(part, dataset, store, folder, seed, on_epoch))
    main = networks[-1]
    if main.subtype is not None:
        fitted = fit_subtype(main, system, folder / f"{system.name}.store", seed, on_progress)
        main.subtype = fitted.head
        log.info("Out-of-fold macro-F1 of the subtype head: %.3f", fitted.macro_f1)
    weights = folder / "weights.safetensors"
    save_model(system, main, networks[0] if len(networks) > 1 else None, weights)
    return weights


def prepare_store(
    system: System, dataset: Path, store: Path, on_progress: OnProgress = ignore_progress
) -> None:
    """Prepare every case of `dataset` for `system` that `store` does not hold yet.

    Raises:
        DatasetError: If the folder is no data set.
    """
    entries = find_entries(dataset)
    for number, entry in enumerate(entries):
        on_progress("prepare", number / len(entries))
        if (store / f"{entry.case_id}.npz").exists():
            continue
        case = entry.read()
        assert case.labels is not None, "an entry has labels"
        write_case(
            store,
            case.case_id,
            case.volume,
            case.labels,
            system.preparation,
            num_structures=len(system.structures),
            subtype=case.subtype,
        )
    on_progress("prepare", 1.0)


def fit_subtype(
    network: MultitaskNetwork,
    system: System,
    store: Path,
    seed: int,
    on_progress: OnProgress = ignore_progress,
) -> FittedHead:
    """Fit the subtype head of `system` on the lesion cases of a store, the encoder frozen."""
    cases = [case for case in read_store(store) if case.subtype is not None]
    features: list[torch.Tensor] = []
    for number, case in enumerate(cases):
        on_progress("features", number / len(cases))
        features.append(_features(network, system, case))
    on_progress("features", 1.0)
    head = subtype_head(system, network.trunk.stage_features)
    assert head is not None, "only systems with a subtype head come here"
    subtypes = torch.tensor([case.subtype for case in cases])
    return fit_head(head, torch.cat(features), subtypes, seed=seed)


def _fit_part(
    part: System, dataset: Path, store: Path, folder: Path, seed: int, on_epoch: OnEpoch
) -> MultitaskNetwork:
    plan = Plan(
        system=part,
        dataset=dataset.name,
        spacing_mm=part.preparation.spacing_mm,
        patch_shape=part.training.patch_shape,
        batch_size=part.training.batch_size,
        precision=choose_precision(_CPU),
        seed=seed,
    )
    cases = read_store(store)
    return fit_segmentation(plan, lambda: cases, folder, partial(on_epoch, part.name))


def _features(network: MultitaskNetwork, system: System, case: StoredCase) -> torch.Tensor:
    region = _region(case, system)
    image = region.image.astype(np.float32)
    settings = system.inference
    precision = choose_precision(_CPU)
    probabilities = infer(
        network,
        image,
        patch_shape=settings.patch_shape,
        step=settings.step,
        device=_CPU,
        precision=precision,
    )
    return case_features(
        network,
        image,
        probabilities,
        patch_shape=settings.patch_shape,
        device=_CPU,
        precision=precision,
    ).clone()


def _region(case: StoredCase, system: System) -> StoredCase:
    """Crop a case as the localiser would: the labelled organ and its margin."""
    margin_mm = system.inference.region_margin_mm
    if margin_mm is None:
        return case
    found = np.nonzero(case.labels)
    inner: list[slice] = []
    for indices, margin, spacing in zip(
        found, margin_mm, system.preparation.spacing_mm, strict=True
    ):
        extra = round(margin / spacing)
        inner.append(slice(max(0, int(indices.min()) - extra), int(indices.max()) + extra + 1))
    box = tuple(inner)
    return replace(case, image=case.image[box], labels=case.labels[box])
