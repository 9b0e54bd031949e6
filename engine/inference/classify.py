"""Tell a case's lesion subtype from frozen encoder features.

Shapes: K classes, D H W slices, rows, columns, F pooled features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.data.prepare import Prepared
from engine.inference.device import autocast
from engine.inference.model import Model
from engine.networks.build import MultitaskNetwork
from engine.networks.heads import pool_case

_PANCREAS, _LESION = 1, 2


def subtype_probabilities(
    model: Model, prepared: Prepared, probabilities: NDArray[np.float32]
) -> tuple[float, ...]:
    """Return the probability of every subtype of the case's lesion.

    Args:
        model: The trained system.
        prepared: The network's input.
        probabilities: (K, D, H, W) segmentation probabilities on the grid of `prepared`.

    Returns:
        One number per subtype, summing to 1; empty where the system has no subtype head.
    """
    if model.network.subtype is None:
        return ()
    features = case_features(
        model.network,
        prepared.image,
        probabilities,
        patch_shape=model.system.inference.patch_shape,
        device=model.device,
        precision=model.precision,
    )
    with torch.inference_mode():
        fused = model.network.subtype(features).exp()[0]
    return tuple(float(value) for value in fused)


@torch.inference_mode()
def case_features(
    network: MultitaskNetwork,
    image_DHW: NDArray[np.float32],
    probabilities_KDHW: NDArray[np.float32],
    *,
    patch_shape: tuple[int, int, int],
    device: torch.device,
    precision: str,
) -> Tensor:
    """Return pooled encoder features (1, F) of one window around the lesion.

    The window is centred on the lesion's probability, or on the pancreas where there is no
    lesion to speak of.
    """
    start = window_start(probabilities_KDHW, patch_shape)
    image = _cut(image_DHW, start, patch_shape)
    pancreas = _cut(probabilities_KDHW[_PANCREAS], start, patch_shape)
    lesion = _cut(probabilities_KDHW[_LESION], start, patch_shape)
    image_BCDHW = image[None, None].to(device)
    assert network.subtype is not None, "only systems with a subtype head are classified"
    with autocast(device, precision):
        stages = network.trunk.encode(image_BCDHW)[: network.subtype.num_stages]
    return pool_case(image_BCDHW, stages, pancreas[None].to(device), lesion[None].to(device))


def window_start(
    probabilities_KDHW: NDArray[np.float32], patch_shape: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return where the window around the lesion begins; may lie outside the image."""
    certain = probabilities_KDHW[_LESION] > 0.5
    if not certain.any():
        certain = probabilities_KDHW[_PANCREAS] > 0.5
    shape = certain.shape
    if certain.any():
        centre = [float(np.mean(axis)) for axis in np.nonzero(certain)]
    else:
        centre = [length / 2 for length in shape]
    starts = [_start(c, n, size) for c, n, size in zip(centre, shape, patch_shape, strict=True)]
    return starts[0], starts[1], starts[2]


def _start(centre: float, length: int, size: int) -> int:
    if length <= size:
        return (length - size) // 2
    return min(max(0, round(centre) - size // 2), length - size)


def _cut(
    array_DHW: NDArray[np.float32], start: tuple[int, int, int], size: tuple[int, int, int]
) -> Tensor:
    window = np.zeros(size, np.float32)
    inner = tuple(
        slice(max(0, s), min(n, s + p))
        for s, n, p in zip(start, array_DHW.shape, size, strict=True)
    )
    placed = tuple(slice(i.start - s, i.stop - s) for i, s in zip(inner, start, strict=True))
    window[placed] = array_DHW[inner]
    return torch.from_numpy(window)
