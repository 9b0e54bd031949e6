"""Systems as values: the parts a method is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from engine.registry import UnknownNameError


@dataclass(frozen=True, slots=True)
class Part:
    """A registered building block and its settings."""

    name: str
    params: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a volume becomes a network's input.

    Args:
        spacing_mm: Voxel distances along (slice, row, column) of the canonical grid, in mm.
        hu_window: (lowest, highest) HU kept; what lies outside is clipped.
        hu_mean: Subtracted after clipping, in HU.
        hu_sd: Divided by afterwards, in HU.
    """

    spacing_mm: tuple[float, float, float]
    hu_window: tuple[float, float]
    hu_mean: float
    hu_sd: float


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is fitted.

    Args:
        patch_shape: (slices, rows, columns) of a training patch, in voxels.
        batch_size: Patches per step.
        epochs: Passes; one is `steps_per_epoch` optimiser steps.
        steps_per_epoch: Optimiser steps in one epoch.
        optimiser: e.g. Part("sgd", {"lr": 0.01}).
        losses: One part per head.
        balance: How the heads' losses are combined, looked up in BALANCERS.
        foreground_share: Share of patches centred on a labelled voxel.
        schedule: How the learning rate changes, looked up in SCHEDULES.
        accumulation: Parts a step's batch is computed in, one after the other, to save memory.
        average_decay: Of the moving average of the weights that is kept; None keeps the weights.
    """

    patch_shape: tuple[int, int, int]
    batch_size: int
    epochs: int
    steps_per_epoch: int
    optimiser: Part
    losses: tuple[Part, ...]
    balance: Part = Part("fixed")
    foreground_share: float = 0.67
    schedule: Part = Part("cosine", {"warm_up": 0.03})
    accumulation: int = 1
    average_decay: float | None = 0.998


@dataclass(frozen=True, slots=True)
class Inference:
    """How a trained network is applied to a volume.

    Args:
        patch_shape: (slices, rows, columns) of a window, in voxels.
        step: Window step as a share of the patch, 0 to 1.
        mirror_axes: Axes (0 slice, 1 row, 2 column) averaged over mirrored passes.
        region_margin_mm: Added around the localised pancreas, in mm along (slice, row, column);
            None analyses the whole volume.
        min_lesion_mm3: Smaller lesion components are dropped, in mm³.
        lesion_threshold: Lesion probability from which a voxel is called lesion.
        box_threshold: Probability from which a detected box that no outline confirms is a finding.
    """

    patch_shape: tuple[int, int, int]
    step: float = 0.5
    mirror_axes: tuple[int, ...] = ()
    region_margin_mm: tuple[float, float, float] | None = None
    min_lesion_mm3: float = 0.0
    lesion_threshold: float = 0.5
    box_threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Federation:
    """How sites train together.

    Args:
        sites: Names of the members.
        rounds: Number of exchanges.
        local_epochs: Epochs a site trains per round.
        aggregate: The server's rule.
        local_objective: What a site adds to its loss.
        shared_fraction: Share of the update that leaves a site, 0 to 1.
    """

    sites: tuple[str, ...]
    rounds: int
    local_epochs: int
    aggregate: Part
    local_objective: Part
    shared_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class System:
    """A whole method: network, heads, data preparation, training, inference.

    Args:
        name: Short name used on the command line and in files.
        title: What a reader sees.
        source: The publication or document that defines it.
        network: The trunk, looked up in NETWORKS.
        heads: What is predicted, looked up in HEADS.
        preparation: How volumes become inputs.
        training: How it is fitted.
        inference: How it is applied.
        localiser: A coarse system that finds the pancreas first, where there is one.
        federation: How sites train it together, where they do.
        structures: Names of the label values 1, 2, …
        subtypes: Names of the lesion subtypes 0, 1, …; empty without a subtype head.
        sizes: Smaller versions of the same system by size, e.g. "toy" and "small".
    """

    name: str
    title: str
    source: str
    network: Part
    heads: tuple[Part, ...]
    preparation: Preparation
    training: Training
    inference: Inference
    localiser: System | None = None
    federation: Federation | None = None
    structures: tuple[str, ...] = ("pancreas", "lesion")
    subtypes: tuple[str, ...] = ()
    sizes: Mapping[str, System] = field(default_factory=lambda: dict[str, System]())

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", MappingProxyType(dict(self.sizes)))

    def at(self, size: str) -> System:
        """Return this system at `size`; "full" is the system itself, as its source has it.

        Raises:
            UnknownNameError: If it has no such size.
        """
        known = ("full", *self.sizes)
        if size not in known:
            raise UnknownNameError("size", size, known)
        return replace(self, sizes={}) if size == "full" else self.sizes[size]

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the heads, in their order."""
        return tuple(head.name for head in self.heads)
