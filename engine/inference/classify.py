"""Tell a case's lesion subtype, from frozen encoder features or by a jointly trained head.

Shapes: K classes, D H W slices, rows, columns, F pooled features, S subtypes.
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
from engine.inference.outputs import Outputs
from engine.networks.build import JOINT_SUBTYPE, MultitaskNetwork
from engine.networks.heads import pool_case

_PANCREAS, _LESION = 1, 2
# ours: slices of a lesion that a network of single slices looks at, evenly spread
_MOST_SLICES = 16


def subtype_probabilities(model: Model, prepared: Prepared, outputs: Outputs) -> tuple[float, ...]:
    """Return the probability of every subtype of the case's lesion.

    Args:
        model: The trained system.
        prepared: The network's input.
        outputs: What the other heads said about it; says where the lesion is.

    Returns:
        One number per subtype, summing to 1; empty where the system has no subtype head.
    """
    if model.network.subtype is not None and outputs.probabilities_KDHW is not None:
        return _staged(model, prepared, outputs.probabilities_KDHW)
    for head in JOINT_SUBTYPE & set(model.network.heads):
        return _joint(model, prepared, outputs, head)
    return ()


def _staged(
    model: Model, prepared: Prepared, probabilities_KDHW: NDArray[np.float32]
) -> tuple[float, ...]:
    features = case_features(
        model.network,
        prepared.image,
        probabilities_KDHW,
        patch_shape=model.system.inference.patch_shape,
        device=model.device,
        precision=model.precision,
    )
    assert model.network.subtype is not None, "the caller looked"
    with torch.inference_mode():
        fused = model.network.subtype(features).exp()[0]
    return tuple(float(value) for value in fused)


@torch.inference_mode()
def _joint(model: Model, prepared: Prepared, outputs: Outputs, head: str) -> tuple[float, ...]:
    """Ask a head that was trained on patches: it is shown one of their shape around the lesion.

    A network of single slices is shown several of the lesion's, and their answers are averaged.
    """
    patch_shape = model.system.training.patch_shape
    answers: list[Tensor] = []
    for start in _starts(prepared.image.shape, outputs, patch_shape):
        window = torch.from_numpy(cut(prepared.image, start, patch_shape))
        image_BCDHW = window[None, None].to(model.device)
        with autocast(model.device, model.precision):
            logits_BS = model.network.outputs(image_BCDHW, (head,))[head]
        answers.append(logits_BS[0].float().softmax(0))
    mean_S = torch.stack(answers).mean(0)
    return tuple(float(value) for value in mean_S)


@torch.inference_mode()
def case_features(
    network: MultitaskNetwork,
    image_DHW: NDArray[np.float32],
    probabilities_KDHW: NDArray[np.float32],
    *,
    patch_shape: tuple[int, int, int],
    device: torch.device,
    precision: str,
    offset: tuple[int, int, int] = (0, 0, 0),
) -> Tensor:
    """Return pooled encoder features (1, F) of one window around the lesion.

    The window is centred on the lesion's probability, or on the pancreas where there is no
    lesion to speak of; `offset` moves it by voxels, as far as it stays inside the image.
    """
    start = _around_lesion(probabilities_KDHW, patch_shape, offset)
    arrays = (image_DHW, probabilities_KDHW[_PANCREAS], probabilities_KDHW[_LESION])
    image, pancreas, lesion = (torch.from_numpy(cut(a, start, patch_shape)) for a in arrays)
    image_BCDHW = image[None, None].to(device)
    assert network.subtype is not None, "only systems with a subtype head are classified"
    with autocast(device, precision):
        stages = network.trunk.encode(image_BCDHW)[: network.subtype.num_stages]
    return pool_case(image_BCDHW, stages, pancreas[None].to(device), lesion[None].to(device))


def _around_lesion(
    probabilities_KDHW: NDArray[np.float32],
    patch_shape: tuple[int, int, int],
    offset: tuple[int, int, int],
) -> NDArray[np.int_]:
    """Return where the window around the lesion begins; may lie outside the image."""
    inside = _certain(probabilities_KDHW)
    shape = np.array(probabilities_KDHW.shape[1:])
    centre = shape / 2 if inside is None else np.array([np.mean(axis) for axis in inside])
    moved = np.rint(centre).astype(int) + np.array(offset)
    return window_start(moved, shape, np.array(patch_shape))


def _certain(probabilities_KDHW: NDArray[np.float32]) -> tuple[NDArray[np.int_], ...] | None:
    """Return the indices of the lesion's voxels, else the pancreas'; None without either."""
    for structure in (_LESION, _PANCREAS):
        # A system may segment the pancreas alone.
        certain = probabilities_KDHW[structure : structure + 1] > 0.5
        if certain.any():
            return np.nonzero(certain)[1:]
    return None


def _starts(
    shape: tuple[int, ...], outputs: Outputs, patch_shape: tuple[int, int, int]
) -> list[NDArray[np.int_]]:
    """Return where the windows begin in which the lesion is looked at.

    Around the segmented lesion or pancreas; else the likeliest box; else the middle.
    """
    centre, slices = np.array(shape) / 2, (0, 0)
    inside = None
    if outputs.probabilities_KDHW is not None:
        inside = _certain(outputs.probabilities_KDHW)
    if inside is not None:
        centre = np.array([np.mean(axis) for axis in inside])
        slices = (int(inside[0].min()), int(inside[0].max()))
    elif len(outputs.boxes):
        lower, upper = outputs.boxes.corners_N6[0].astype(float).reshape(2, 3)
        # Faces are counted from the first voxel's outer face, indices from its centre.
        centre, slices = (lower + upper - 1) / 2, (int(lower[0]), int(np.ceil(upper[0])) - 1)
    centres = [np.rint(centre).astype(int)]
    if patch_shape[0] == 1 and slices[1] > slices[0]:
        num = min(_MOST_SLICES, slices[1] - slices[0] + 1)
        spread = np.linspace(*slices, num).round().astype(int)
        centres = [np.array([number, *centres[0][1:]]) for number in spread]
    return [window_start(each, np.array(shape), np.array(patch_shape)) for each in centres]
