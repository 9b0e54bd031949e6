"""Smaller sizes of a system: "toy" shows in a minute that it trains, "small" trains in an evening.

All small systems share the starter's preparation, so that a data set is prepared for them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.catalogue.starter import LOCALISER, STARTER
from engine.system import Part, System

Shape = tuple[int, int, int]
Params = Mapping[str, Any]

# ours: an abdomen of 50 x 75 x 75 voxels
_COARSE = replace(STARTER.preparation, spacing_mm=(6.0, 5.0, 5.0))
_TOY_PATCH = (32, 32, 32)
_TOY_LOCALISER = replace(
    LOCALISER,
    network=Part(
        "resenc_unet", {"features": (8, 8, 16), "num_blocks": (1, 1, 1), "strides": (1, 2, 2)}
    ),
    preparation=replace(LOCALISER.preparation, spacing_mm=(9.0, 8.0, 8.0)),
    training=replace(LOCALISER.training, patch_shape=_TOY_PATCH, epochs=2, steps_per_epoch=4),
    inference=replace(LOCALISER.inference, patch_shape=(32, 48, 48)),
)


@dataclass(frozen=True, slots=True)
class Smaller:
    """What a smaller size has of its own; everything else is as in the full system.

    Args:
        network: Settings of the network that differ.
        heads: Settings of heads that differ, by the head's name.
        losses: Settings of losses that differ, by the loss's name.
        patch_shape: Of training, in voxels; None takes the size's usual one.
        window_shape: Of inference, in voxels; None takes the size's usual one.
        batch_size: Patches per step.
        optimiser: Instead of the full system's; None keeps that.
        balance: Of the tasks, likewise.
    """

    network: Params
    heads: Mapping[str, Params] = field(default_factory=lambda: dict[str, Params]())
    losses: Mapping[str, Params] = field(default_factory=lambda: dict[str, Params]())
    patch_shape: Shape | None = None
    window_shape: Shape | None = None
    batch_size: int = 1
    optimiser: Part | None = None
    balance: Part | None = None


def with_sizes(system: System, *, toy: Smaller, small: Smaller) -> System:
    """Return `system` with a toy and a small size beside its full one."""
    return replace(system, sizes={"toy": _toy(system, toy), "small": _small(system, small)})


def _toy(system: System, smaller: Smaller) -> System:
    patch_shape = smaller.patch_shape or _TOY_PATCH
    reduced = _reduced(system, smaller, patch_shape)
    return replace(
        reduced,
        preparation=_COARSE,
        training=replace(reduced.training, epochs=2, steps_per_epoch=4),
        inference=replace(
            reduced.inference,
            patch_shape=smaller.window_shape or patch_shape,
            mirror_axes=(),
        ),
        localiser=None if system.localiser is None else _TOY_LOCALISER,
    )


def _small(system: System, smaller: Smaller) -> System:
    reduced = _reduced(system, smaller, smaller.patch_shape or STARTER.training.patch_shape)
    return replace(
        reduced,
        preparation=STARTER.preparation,
        training=replace(
            reduced.training,
            epochs=STARTER.training.epochs,
            steps_per_epoch=STARTER.training.steps_per_epoch,
            foreground_share=STARTER.training.foreground_share,
            average_decay=STARTER.training.average_decay,
        ),
        inference=replace(
            STARTER.inference, patch_shape=smaller.window_shape or STARTER.inference.patch_shape
        ),
        localiser=LOCALISER,
    )


def _reduced(system: System, smaller: Smaller, patch_shape: Shape) -> System:
    return replace(
        system,
        network=_changed(system.network, smaller.network),
        heads=tuple(_changed(head, smaller.heads.get(head.name, {})) for head in system.heads),
        training=replace(
            system.training,
            patch_shape=patch_shape,
            batch_size=smaller.batch_size,
            accumulation=1,
            optimiser=smaller.optimiser or system.training.optimiser,
            balance=smaller.balance or system.training.balance,
            losses=tuple(
                _changed(loss, smaller.losses.get(loss.name, {})) for loss in system.training.losses
            ),
        ),
        sizes={},
    )


def _changed(part: Part, params: Params) -> Part:
    return Part(part.name, {**part.params, **params})
