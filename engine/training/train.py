"""Train a whole system on a data set: localiser, joint heads, staged subtype head."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.catalogue.starter import STARTER
from engine.catalogue.variants import has_shipped_localiser
from engine.data.dataset_check import check_dataset, usable_entries, whole_entries
from engine.data.datasets import Entry
from engine.data.prepare_store import default_store, prepare_store, workers_for
from engine.data.splits import SplitError, keep_whole, kept_split
from engine.data.store import StoredCase, read_store
from engine.errors import IsletError
from engine.inference.device import choose_device, choose_precision
from engine.inference.model import load_model, save_model
from engine.networks.build import JOINT_SUBTYPE, STAGED_SUBTYPE, MultitaskNetwork
from engine.run import Plan
from engine.system import System
from engine.training.distributed import ALONE, Group
from engine.training.dry_run import DryRun, dry_run
from engine.training.fit import Fitting, default_num_threads, fit
from engine.training.follow import NOBODY, Follower
from engine.training.sample import Sampler
from engine.training.staged import fit_subtype
from engine.training.validate import Validator

log = logging.getLogger(__name__)

NUM_FOLDS = 5
_NUM_VALIDATIONS = 20  # ours: points of a validation curve, and a tenth of the time at most


class SharingError(IsletError):
    """A batch or a machine that cannot be shared by so many processes."""


class StrangeSubtypeError(IsletError):
    """A data set with subtypes that the system has no answer for."""

    def __init__(self, case_id: str, subtype: int, num_subtypes: int) -> None:
        super().__init__(
            f"Case {case_id} is of subtype {subtype}; the system tells 0 to {num_subtypes - 1}.",
            remedy="Merge subtypes in subtypes.csv, or choose a system without a subtype head.",
        )


class NothingTrainedError(IsletError):
    """A run that is to end with what it has, and has nothing yet."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The run has no checkpoint of '{name}' whose weights could be kept.",
            remedy="Resume the run, and let it train for a while first.",
        )


class NoShippedLocaliserError(IsletError):
    """A system that the localiser that ships does not serve."""

    def __init__(self) -> None:
        super().__init__(
            "No localiser ships with Islet for this system and size.",
            remedy="Leave --shipped-localiser away: what the system needs is trained on the data "
            "set.",
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants trained.

    Args:
        system: At the size wanted.
        data: The data set's folder.
        folder: Of the run.
        size: Name of the size, e.g. "small".
        seed: Of every random choice.
        fold: Held back for validation; None trains on every case.
        device: "auto", "cpu" or "cuda:N".
        num_devices: Processes that share every batch.
        precision: "auto", "fp32", "bf16" or "fp16".
        augment_on: "auto", "device" or "cpu".
        store: Folder of prepared cases; None shares one between all runs on the same data.
        skip_broken: Train without broken cases rather than not at all.
        batch_size: Patches per step, instead of the system's own number.
        own_localiser: Train the localiser on this data, too; otherwise the shipped one serves.
        ends_here: Train no further: what the checkpoints hold is what was trained.
    """

    system: System
    data: Path
    folder: Path
    size: str = "full"
    seed: int = 1
    fold: int | None = 0
    device: str = "auto"
    num_devices: int = 1
    precision: str = "auto"
    augment_on: str = "auto"
    store: Path | None = None
    skip_broken: bool = False
    batch_size: int | None = None
    own_localiser: bool = True
    ends_here: bool = False


def plans(order: Order) -> tuple[Plan, ...]:
    """Return a plan for each part of the system: its localiser first, where it has one.

    Raises:
        DeviceMissingError: If the machine lacks the device.
        SharingError: If more processes are wanted than can share the work.
        NoShippedLocaliserError: If one is wanted where none fits.
    """
    if not order.own_localiser and not has_shipped_localiser(order.system):
        raise NoShippedLocaliserError
    device = choose_device(order.device)
    # The other processes take the cards after the first one's.
    last = (device.index or 0) + order.num_devices
    if device.type == "cuda" and last > torch.cuda.device_count():
        raise SharingError(
            f"This machine has {torch.cuda.device_count()} graphics cards, not {last}.",
            remedy="Ask for fewer with --devices, or train on the CPU.",
        )
    precision = choose_precision(device) if order.precision == "auto" else order.precision
    usual = "cpu" if device.type == "cpu" else "device"
    system = order.system
    parts = [system] if system.localiser is None else [system.localiser, system]
    return tuple(
        Plan(
            system=part,
            dataset=order.data.name,
            spacing_mm=part.preparation.spacing_mm,
            patch_shape=part.training.patch_shape,
            batch_size=_batch_size(order, part),
            precision=precision,
            seed=order.seed,
            fold=order.fold,
            size=order.size,
            device=str(device),
            num_devices=order.num_devices,
            accumulation=part.training.accumulation,
            augment_on=usual if order.augment_on == "auto" else order.augment_on,
        )
        for part in parts
    )


def rehearse(order: Order) -> tuple[DryRun, ...]:
    """Predict the memory of every part of `order`, and fit the plans to the machine.

    Raises:
        PlanTooLargeError: If a part does not fit.
    """
    return tuple(dry_run(plan) for plan in plans(order))


def train_system(
    order: Order,
    ready: Sequence[Plan],
    follower: Follower = NOBODY,
    group: Group = ALONE,
    device: str = "cpu",
) -> Path:
    """Train every part and write `weights.safetensors` into the run's folder.

    What is finished in the folder is kept: called again after an interruption, it goes on.

    Args:
        order: What to train.
        ready: Its plans, fitted to the machine by `rehearse`.
        follower: Hears how it goes, and may stop it.
        group: The processes that share every batch.
        device: Of this process.

    Returns:
        The weights file.

    Raises:
        BrokenDatasetError: If a case is broken and must not be skipped.
        NothingTrainedError: If `order` is to end here, and a part has no checkpoint.
        StoppedError: If the follower wants to stop; what is done is kept.
    """
    teller: Follower = follower if group.is_first else NOBODY
    if order.ends_here:
        _require_checkpoints(order, ready)
    training, held_back, entries = _split(order, teller, group)
    networks: list[MultitaskNetwork] = []
    stores: list[Path] = []
    for plan in ready:
        here = replace(plan, device=device)
        if _is_shipped(order, plan):
            networks.append(_shipped_localiser(device))
            continue
        store = _store(order, plan.system)
        if group.is_first:
            prepare_store(
                entries,
                plan.system.preparation,
                plan.system.structures,
                store,
                workers=workers_for(len(entries)),
                on_progress=teller.on_progress,
            )
        group.wait()
        stores.append(store)
        networks.append(_fit_part(here, order, store, training, held_back, teller, group))
    weights = order.folder / "weights.safetensors"
    if group.is_first:
        main, plan = networks[-1], replace(ready[-1], device=device)
        if main.subtype is not None:
            _fit_staged(main, plan, read_store(stores[-1], training), teller)
        save_model(order.system, main, networks[0] if len(networks) > 1 else None, weights)
    group.wait()
    return weights


def _shipped_localiser(device: str) -> MultitaskNetwork:
    shipped = load_model(STARTER, device).localiser
    assert shipped is not None, "the starter has one"
    return shipped.network


def _batch_size(order: Order, part: System) -> int:
    num_devices = order.num_devices
    if part is not order.system:
        # A localiser is small: each process takes one patch at least.
        return max(part.training.batch_size, num_devices)
    batch_size = order.batch_size or part.training.batch_size
    if batch_size % num_devices:
        raise SharingError(
            f"A batch of {batch_size} cannot be shared evenly by {num_devices} processes.",
            remedy=f"Choose a multiple of {num_devices} with --batch-size.",
        )
    return batch_size


def _split(
    order: Order, follower: Follower, group: Group
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Entry, ...]]:
    """Return the ids to train on, the ids held back, and every usable entry."""
    report = check_dataset(order.data, follower.on_progress)
    entries = usable_entries(report) if order.skip_broken else whole_entries(report)
    _check_subtypes(order.system, entries)
    if order.fold is None:
        if group.is_first:
            keep_whole(entries, order.folder)
        return tuple(entry.case_id for entry in entries), (), entries
    # The first process saves it; the others read what it saved.
    if group.is_first:
        kept_split(entries, order.folder, data=order.data, num_folds=NUM_FOLDS)
    group.wait()
    folds = kept_split(entries, order.folder, data=order.data, num_folds=NUM_FOLDS)
    if order.fold >= len(folds):
        raise SplitError(f"it has {len(folds)} folds, and fold {order.fold} was asked for")
    return folds[order.fold].train, folds[order.fold].validate, entries


def _check_subtypes(system: System, entries: Sequence[Entry]) -> None:
    num_subtypes = len(system.subtypes)
    if not {STAGED_SUBTYPE, *JOINT_SUBTYPE} & set(system.head_names):
        return
    for entry in entries:
        if entry.subtype is not None and entry.subtype >= num_subtypes:
            raise StrangeSubtypeError(entry.case_id, entry.subtype, num_subtypes)


def _store(order: Order, part: System) -> Path:
    if order.store is not None:
        return order.store / part.name if part is not order.system else order.store
    return default_store(order.data, part.preparation, part.structures)


def _fit_part(
    plan: Plan,
    order: Order,
    store: Path,
    training: tuple[str, ...],
    held_back: tuple[str, ...],
    follower: Follower,
    group: Group,
) -> MultitaskNetwork:
    cases: tuple[StoredCase, ...] = read_store(store, training)
    validator = None
    if held_back:
        is_main = plan.system is order.system
        validator = Validator(
            plan,
            read_store(store, held_back),
            picture_path=follower.picture_path if is_main else lambda _: None,
            on_picture=follower.on_picture,
            on_progress=follower.on_progress,
        )
    return fit(
        Fitting(
            plan=plan,
            sampler=Sampler(plan, cases),
            checkpoint=_checkpoint(order, plan),
            follower=follower,
            validate=validator,
            group=group,
            validate_every=max(1, plan.system.training.epochs // _NUM_VALIDATIONS),
            num_threads=default_num_threads(),
            until_epoch=0 if order.ends_here else None,
        )
    )


def _checkpoint(order: Order, plan: Plan) -> Path:
    return order.folder / "checkpoint" / f"{plan.system.name}.pt"


def _require_checkpoints(order: Order, ready: Sequence[Plan]) -> None:
    for plan in ready:
        if not _is_shipped(order, plan) and not _checkpoint(order, plan).is_file():
            raise NothingTrainedError(plan.system.name)


def _is_shipped(order: Order, plan: Plan) -> bool:
    return plan.system is order.system.localiser and not order.own_localiser


def _fit_staged(
    network: MultitaskNetwork, plan: Plan, cases: tuple[StoredCase, ...], follower: Follower
) -> None:
    fitted = fit_subtype(network, plan, cases, follower.on_progress)
    if fitted is None:
        follower.on_alarm(
            "The data set has too few lesions of known subtype: the subtype head was not trained, "
            "and its answers mean nothing."
        )
        return
    network.subtype = fitted.head
    log.info("Out-of-fold macro-F1 of the subtype head: %.3f", fitted.macro_f1)
