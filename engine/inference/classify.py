"""Tell a case's lesion subtype from frozen encoder features.

Shapes: K classes, D H W slices, rows, columns, F pooled features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.data.patches import cut, window_start
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
    start = _around_lesion(probabilities_KDHW, patch_shape)
    arrays = (image_DHW, probabilities_KDHW[_PANCREAS], probabilities_KDHW[_LESION])
    image, pancreas, lesion = (torch.from_numpy(cut(a, start, patch_shape)) for a in arrays)
    image_BCDHW = image[None, None].to(device)
    assert network.subtype is not None, "only systems with a subtype head are classified"
    with autocast(device, precision):
        stages = network.trunk.encode(image_BCDHW)[: network.subtype.num_stages]
    return pool_case(image_BCDHW, stages, pancreas[None].to(device), lesion[None].to(device))


def _around_lesion(
    probabilities_KDHW: NDArray[np.float32], patch_shape: tuple[int, int, int]
) -> NDArray[np.int_]:
    """Return where the window around the lesion begins; may lie outside the image."""
    certain = probabilities_KDHW[_LESION] > 0.5
    if not certain.any():
        certain = probabilities_KDHW[_PANCREAS] > 0.5
    shape = np.array(certain.shape)
    centre = shape / 2
    if certain.any():
        centre = np.array([np.mean(axis) for axis in np.nonzero(certain)])
    return window_start(np.rint(centre).astype(int), shape, np.array(patch_shape))
