"""A member of a federation with its cases opened, ready to train and to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import torch

from engine.data.prepare_store import prepare_store, workers_for
from engine.data.store import StoredCase, read_store
from engine.federated.local import LocalTrainer
from engine.federated.sites import Site, entries_of, parts_of
from engine.networks.build import MultitaskNetwork
from engine.progress import OnProgress, ignore_progress
from engine.run import Plan
from engine.system import System
from engine.training.state import start
from engine.training.train import Order, plans


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A site with its cases opened.

    Args:
        name: Of the site.
        plan: How it trains.
        trainer: Trains it, round by round.
        num_cases: It trains on.
        validate: Cases that choose the model.
        test: Cases that judge it.
    """

    name: str
    plan: Plan
    trainer: LocalTrainer
    num_cases: int
    validate: tuple[StoredCase, ...]
    test: tuple[StoredCase, ...]


def open_member(
    site: Site,
    system: System,
    *,
    size: str,
    seed: int,
    device: str,
    store: Path,
    checkpoint: Path,
    on_progress: OnProgress = ignore_progress,
) -> Member:
    """Check and prepare a site's cases.

    Args:
        site: Whose cases they are.
        system: With its federation.
        size: Name of the size.
        seed: Of the federation.
        device: "auto", "cpu" or "cuda:N".
        store: Folder of the prepared cases.
        checkpoint: File of the trainer.
        on_progress: Told ("check" | "prepare", fraction); to cancel, it raises.

    Raises:
        IsletError: If the site's data cannot be used.
    """
    federation = system.federation
    assert federation is not None, "it is a federation's"
    entries = entries_of(site, on_progress)
    parts = parts_of(site, entries)
    prepare_store(
        entries,
        system.preparation,
        system.structures,
        store,
        workers=workers_for(len(entries)),
        on_progress=on_progress,
    )
    # Sites must not draw alike, and each the same in every federation.
    own_seed = (seed << 32) + crc32(site.name.encode())
    plan = federated_plan(system, site.name, size=size, seed=own_seed, device=device)
    trainer = LocalTrainer(
        plan,
        read_store(store, parts.train),
        checkpoint,
        federation.local_objective,
        federation.local_epochs,
    )
    return Member(
        site.name,
        plan,
        trainer,
        len(parts.train),
        read_store(store, parts.validate),
        read_store(store, parts.test),
    )


def federated_plan(system: System, name: str, *, size: str, seed: int, device: str) -> Plan:
    """Return how one site trains: all rounds as one training, without a moving average.

    Args:
        system: With its federation.
        name: Of the site's data.
        size: Name of the size.
        seed: Of the site's patches.
        device: "auto", "cpu" or "cuda:N".
    """
    assert system.federation is not None, "it is a federation's"
    training = replace(
        system.training,
        epochs=system.federation.rounds * system.federation.local_epochs,
        # ours: the common model is an average already
        average_decay=None,
    )
    alone = replace(system, training=training, localiser=None, sizes={})
    order = Order(alone, Path(name), Path(name), size=size, seed=seed, fold=None, device=device)
    return plans(order)[-1]


def first_network(system: System, *, size: str, seed: int) -> MultitaskNetwork:
    """Return the network that a federation begins with; the same seed gives the same weights.

    Args:
        system: With its federation.
        size: Name of the size.
        seed: Of the federation.
    """
    plan = federated_plan(system, "federation", size=size, seed=seed, device="cpu")
    return start(plan, torch.device("cpu")).network
