"""Fit a system to a data set and a machine: grid, density window and patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine.data.fingerprint import Fingerprint, plan_patch
from engine.errors import IsletError
from engine.networks.build import build
from engine.run import Plan
from engine.system import Part, Preparation, System
from engine.training.dry_run import PlanTooLargeError, dry_run

Shape = tuple[int, int, int]

_LEAST_SHARE = 1 / 64  # ours: a patch so much smaller than the system's own is another method
_STEP = 0.8  # ours


def fit_to_data(system: System, fingerprint: Fingerprint, plan: Plan) -> System:
    """Return `system` with the grid, densities and patch that suit a data set and this machine.

    Spacing and densities are those nnU-Net would take: median spacing, 0.5th and 99.5th
    percentile, mean and deviation of the labelled voxels (Isensee et al., 2021). The patch has
    the proportions of the median volume, as many voxels as the system's own where they fit into
    the memory that is free, and fewer where not. Anchors keep their size in mm.

    Args:
        system: At the size wanted; its localiser stays as it is.
        fingerprint: Of the data set.
        plan: Of the system as it is; says where and how it is trained.

    Raises:
        PlanTooLargeError: If no patch worth the name fits.
    """
    spacing_mm = fingerprint.planned_spacing_mm
    prepared = Preparation(
        spacing_mm,
        fingerprint.hu_window,
        fingerprint.hu_mean,
        max(fingerprint.hu_sd, 1.0),
    )
    factor = np.array(system.preparation.spacing_mm) / np.array(spacing_mm)
    heads = tuple(_rescaled(head, factor) for head in system.heads)
    fitted = replace(system, preparation=prepared, heads=heads)
    divisors = _divisors(system)
    budget = float(np.prod(system.training.patch_shape))
    # Instance normalisation needs more than one voxel in the deepest stage.
    least = max(budget * _LEAST_SHARE, float(np.prod([2 * n if n > 1 else 1 for n in divisors])))
    failure = None
    while budget >= least:
        shape = plan_patch(fingerprint.planned_shape, spacing_mm, round(budget), divisors)
        candidate = with_patch(fitted, shape)
        try:
            dry_run(replace(plan, system=candidate, patch_shape=shape))
        except PlanTooLargeError as error:
            failure, budget = error, budget * _STEP
            continue
        return candidate
    if failure is not None:
        raise failure
    raise IsletError(
        "The system's network divides a patch more finely than its own patch allows.",
        remedy="Train it with its own plan, without --plan data.",
    )


def _divisors(system: System) -> Shape:
    # The meta device gives the network's shape without its memory.
    with torch.device("meta"):
        strides = build(system).trunk.stage_strides
    slices, rows, columns = (max(stride[axis] for stride in strides) for axis in range(3))
    return slices, rows, columns


def with_patch(system: System, shape: Shape) -> System:
    """Return `system` trained and applied with patches of another shape."""
    return replace(
        system,
        training=replace(system.training, patch_shape=shape),
        inference=replace(system.inference, patch_shape=shape),
    )


def _rescaled(head: Part, factor: np.ndarray) -> Part:
    params: Mapping[str, Any] = head.params
    if "anchors" not in params:
        return head
    anchors = tuple(
        tuple(round(float(length), 2) for length in np.array(anchor) * factor)
        for anchor in params["anchors"]
    )
    return Part(head.name, {**params, "anchors": anchors})
