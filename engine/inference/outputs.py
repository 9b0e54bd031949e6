"""Everything a network's heads say about a prepared image, window by window, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.inference.detect import NO_BOXES, BoxCollector, Boxes
from engine.inference.sliding_window import Look, Shape, look_through, to_probabilities
from engine.networks.build import SEGMENTATION, MultitaskNetwork
from engine.progress import OnProgress, ignore_progress
from engine.system import System

DETECTION = "detection"
_IN_EVERY_WINDOW = (SEGMENTATION, DETECTION)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a system says about every place of a prepared image.

    Args:
        probabilities_KDHW: float32 on the prepared grid, background first, summing to 1 over K;
            None where the system does not segment.
        boxes: On the prepared grid; none where the system does not detect.
    """

    probabilities_KDHW: NDArray[np.float32] | None
    boxes: Boxes = NO_BOXES


@torch.inference_mode()
def infer_case(
    network: MultitaskNetwork,
    system: System,
    image_DHW: NDArray[np.float32],
    *,
    device: torch.device,
    precision: str,
    patch_shape: Shape | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Outputs:
    """Return what `network` says about a prepared image; each window is encoded once.

    Subtypes are told afterwards, where the lesion lies: see `engine.inference.classify`.

    Args:
        network: Of `system`, in evaluation mode, on `device`.
        system: Says how windows are placed, and which heads there are.
        image_DHW: As `prepare` makes it, or as a store keeps it, float32.
        device: Where the network computes.
        precision: "fp32", "bf16" or "fp16".
        patch_shape: Of a window, instead of the system's own.
        on_progress: Told the stage "infer" before every window, and at the end.
    """
    names = tuple(name for name in system.head_names if name in _IN_EVERY_WINDOW)
    if not names:
        return Outputs(None)
    settings = system.inference
    window = patch_shape or settings.patch_shape
    look, boxes = _look(network, names), None
    if DETECTION in names:
        boxes = BoxCollector(window, network.heads[DETECTION].selection)  # pyright: ignore[reportArgumentType]

    def on_window(said: Mapping[str, Any], start: Shape, mirrored: tuple[int, ...]) -> None:
        if boxes is not None:
            boxes.add(said[DETECTION], start, mirrored)

    logits_KDHW = look_through(
        look,
        image_DHW,
        patch_shape=window,
        step=settings.step,
        mirror_axes=settings.mirror_axes,
        device=device,
        precision=precision,
        on_window=on_window,
        on_progress=on_progress,
    )
    depth, height, width = image_DHW.shape
    return Outputs(
        None if logits_KDHW is None else to_probabilities(logits_KDHW),
        NO_BOXES if boxes is None else boxes.merged((depth, height, width)),
    )


def finds_lesions(system: System) -> bool:
    """Say whether `system` says where lesions are, or only what a case is like."""
    return any(name in _IN_EVERY_WINDOW for name in system.head_names)


def _look(network: MultitaskNetwork, names: tuple[str, ...]) -> Look:
    if names == (SEGMENTATION,):
        return network

    def look(image_BCDHW: Tensor) -> dict[str, Any]:
        said = network.outputs(image_BCDHW, names)
        if SEGMENTATION in said:
            said[SEGMENTATION] = said[SEGMENTATION][0]
        return said

    return look
