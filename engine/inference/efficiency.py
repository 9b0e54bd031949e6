"""What a system costs before it has seen a case: operations, parameters and size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.networks.build import MultitaskNetwork, build
from engine.networks.vae import strip_system
from engine.system import System

_BYTES_PER_WEIGHT = 4


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What one network costs.

    Args:
        system: Name of the system the network is of.
        num_parameters: Of every head that analyses; what only serves training is left out.
        macs: Multiply-accumulates of convolutions and matrix products, in one window.
        patch_shape: (slices, rows, columns) of that window.
        fp32_bytes: Of the parameters as float32, the size that papers report.
        file_bytes: Of the weights file, a localiser's among them; None without one.
    """

    system: str
    num_parameters: int
    macs: int
    patch_shape: tuple[int, int, int]
    fp32_bytes: int
    file_bytes: int | None


def measure_efficiency(system: System, weights: Path | None = None) -> Efficiency:
    """Count what the network of `system` costs, without computing anything.

    Normalisation, activations and resampling are not counted, as fvcore and ptflops do not.

    Args:
        system: To be counted; a localiser is a system of its own.
        weights: Its weights file, where there is one.
    """
    # The meta device has shapes and no memory: the largest network would take minutes.
    with torch.device("meta"):
        network = build(strip_system(system)).eval()
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    return Efficiency(
        system=system.name,
        num_parameters=num_parameters,
        macs=count_macs(network, system.inference.patch_shape),
        patch_shape=system.inference.patch_shape,
        fp32_bytes=_BYTES_PER_WEIGHT * num_parameters,
        file_bytes=weights.stat().st_size if weights is not None and weights.exists() else None,
    )


def count_macs(network: MultitaskNetwork, patch_shape: tuple[int, int, int]) -> int:
    """Return the multiply-accumulates of one window through all heads.

    Args:
        network: On the meta device.
        patch_shape: (slices, rows, columns) of the window.
    """
    image_BCDHW = torch.empty((1, 1, *patch_shape), device="meta")
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network.outputs(image_BCDHW)
    # It counts a multiplication and an addition as two operations.
    return counter.get_total_flops() // 2
