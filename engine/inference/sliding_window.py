"""Apply a network to a volume window by window, and blend what the windows say.

Shapes: B batch, K classes, D H W slices, rows, columns. The placement of windows, their Gaussian
weights and the mirrored passes are those of nnU-Net (Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations, product
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.inference.device import autocast
from engine.progress import OnProgress, ignore_progress

Shape = tuple[int, int, int]
Look = Callable[[Tensor], Mapping[str, Any]]
"""Says what each head sees in a window (1, C, D, H, W), by its name; a network is one."""
OnWindow = Callable[[Mapping[str, Any], Shape, tuple[int, ...]], None]
"""Told what the heads said, where in the image the window begins, which may be before it, and
along which axes (0, 1, 2) it was mirrored."""

SIGMA_SHARE = 1 / 8
"""Spread of a window's Gaussian weight, as a share of the window."""
_PEAK = 10.0


@torch.inference_mode()
def infer(
    network: nn.Module,
    image_DHW: NDArray[np.float32],
    *,
    patch_shape: Shape,
    step: float = 0.5,
    mirror_axes: tuple[int, ...] = (),
    device: torch.device,
    precision: str = "fp32",
    on_progress: OnProgress = ignore_progress,
) -> NDArray[np.float32]:
    """Return the class probabilities of every voxel.

    Args:
        network: In evaluation mode, on `device`; gives {"segmentation": logits_BKDHW}.
        image_DHW: The prepared image; may be smaller than a window.
        patch_shape: (slices, rows, columns) of a window, in voxels.
        step: Largest distance between windows, as a share of the window.
        mirror_axes: Axes (0, 1, 2) whose mirrored passes are averaged.
        device: Where the network computes.
        precision: "fp32", "bf16" or "fp16".
        on_progress: Called before every window, and at the end.

    Returns:
        (K, D, H, W) float32; sums to 1 over K.
    """
    logits_KDHW = blend_windows(
        network,
        image_DHW,
        patch_shape=patch_shape,
        step=step,
        mirror_axes=mirror_axes,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    return to_probabilities(logits_KDHW)


def to_probabilities(logits_KDHW: Tensor) -> NDArray[np.float32]:
    """Return the softmax over K of logits, which it overwrites."""
    # Slice by slice: a softmax of the whole would hold a second copy of the largest array here.
    for depth in range(logits_KDHW.shape[1]):
        logits_KDHW[:, depth] = torch.softmax(logits_KDHW[:, depth], dim=0)
    return logits_KDHW.cpu().numpy()


@torch.inference_mode()
def blend_windows(
    network: nn.Module,
    image_DHW: NDArray[np.float32],
    *,
    patch_shape: Shape,
    step: float,
    mirror_axes: tuple[int, ...],
    device: torch.device,
    precision: str,
    on_progress: OnProgress = ignore_progress,
) -> Tensor:
    """Return the Gaussian-weighted mean logits (K, D, H, W) of all windows; see `infer`."""
    blended = look_through(
        network,
        image_DHW,
        patch_shape=patch_shape,
        step=step,
        mirror_axes=mirror_axes,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    assert blended is not None, "the network segments"
    return blended


@torch.inference_mode()
def look_through(
    look: Look,
    image_DHW: NDArray[np.float32],
    *,
    patch_shape: Shape,
    step: float,
    mirror_axes: tuple[int, ...],
    device: torch.device,
    precision: str,
    on_window: OnWindow = lambda *_: None,
    on_progress: OnProgress = ignore_progress,
) -> Tensor | None:
    """Look once at every window and its mirror images; see `infer`.

    Args:
        look: Says what is in a window. "segmentation" is blended here: logits (1, K, D, H, W).
        image_DHW: The prepared image.
        patch_shape: Of a window.
        step: Between windows.
        mirror_axes: Averaged over.
        device: Where `look` computes.
        precision: Of the forward passes.
        on_window: Told everything that `look` said.
        on_progress: Called before every window, and at the end.

    Returns:
        Gaussian-weighted mean logits (K, D, H, W); None where `look` segments nothing.
    """
    padded_DHW, inner = _pad(torch.tensor(image_DHW), patch_shape)
    positions = window_positions(_shape(padded_DHW), patch_shape, step)
    windows = list(_windows(positions, patch_shape))
    weights_DHW = gaussian_weights(patch_shape).to(device)
    total_KDHW: Tensor | None = None
    for number, window in enumerate(windows):
        on_progress("infer", number / len(windows))
        patch_BCDHW = padded_DHW[window].to(device)[None, None]
        depth, height, width = (a.start - b.start for a, b in zip(window, inner, strict=True))
        logits_KDHW: Tensor | None = None
        for axes, said in _mirrored(look, patch_BCDHW, mirror_axes, precision):
            on_window(said, (depth, height, width), axes)
            if "segmentation" in said:
                turned = said["segmentation"][0].flip([axis + 1 for axis in axes]).float()
                logits_KDHW = turned if logits_KDHW is None else logits_KDHW + turned
        if logits_KDHW is None:
            continue
        if total_KDHW is None:
            total_KDHW = torch.zeros((len(logits_KDHW), *padded_DHW.shape), device=device)
        total_KDHW[(slice(None), *window)] += logits_KDHW / 2 ** len(mirror_axes) * weights_DHW
    on_progress("infer", 1.0)
    if total_KDHW is None:
        return None
    _divide_by_weights(total_KDHW, positions, patch_shape)
    return total_KDHW[(slice(None), *inner)]


def window_positions(
    shape: Shape, patch_shape: Shape, step: float
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return where windows begin along each axis, evenly spread from edge to edge.

    Args:
        shape: Of the image; nowhere smaller than the window.
        patch_shape: Of a window.
        step: Largest distance between windows, as a share of the window, 0 to 1.
    """
    if not 0 < step <= 1:
        raise ValueError(f"step must be above 0 and at most 1, got {step}")
    slices, rows, columns = (
        _axis_positions(size, patch, step) for size, patch in zip(shape, patch_shape, strict=True)
    )
    return slices, rows, columns


def gaussian_weights(patch_shape: Shape) -> Tensor:
    """Return the (D, H, W) weight of a window's voxels: 10 in the middle, sigma an eighth."""
    depth, height, width = (_axis_weights(size) for size in patch_shape)
    return depth[:, None, None] * height[:, None] * width


def _axis_positions(size: int, patch: int, step: float) -> tuple[int, ...]:
    # As in nnU-Net, the step counts in whole voxels.
    largest_step = max(1, int(patch * step)) if patch > 1 else 1
    num = ceil((size - patch) / largest_step) + 1
    if num == 1:
        return (0,)
    return tuple(round((size - patch) / (num - 1) * i) for i in range(num))


def _axis_weights(size: int) -> Tensor:
    # The window's middle is voxel size // 2, as in nnU-Net; the cube root makes the product peak
    # at 10. Nothing underflows in float32, so no zero has to be replaced.
    distance = torch.arange(size, dtype=torch.float32) - size // 2
    return _PEAK ** (1 / 3) * torch.exp(-0.5 * (distance / (size * SIGMA_SHARE)) ** 2)


def _windows(
    positions: tuple[tuple[int, ...], ...], patch_shape: Shape
) -> Iterator[tuple[slice, ...]]:
    for start in product(*positions):
        yield tuple(slice(s, s + size) for s, size in zip(start, patch_shape, strict=True))


def _pad(image_DHW: Tensor, patch_shape: Shape) -> tuple[Tensor, tuple[slice, ...]]:
    missing = [max(0, p - n) for n, p in zip(image_DHW.shape, patch_shape, strict=True)]
    before = [m // 2 for m in missing]
    inner = tuple(slice(b, b + n) for b, n in zip(before, image_DHW.shape, strict=True))
    if not any(missing):
        return image_DHW, inner
    pairs = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    # Zero is the mean density of the training data, the value nnU-Net pads with.
    return functional.pad(image_DHW, list(chain.from_iterable(reversed(pairs)))), inner


def _mirrored(
    look: Look, patch_BCDHW: Tensor, mirror_axes: tuple[int, ...], precision: str
) -> Iterator[tuple[tuple[int, ...], Mapping[str, Any]]]:
    """Yield what `look` says of a window as it is, and mirrored along every choice of axes."""
    for num in range(len(mirror_axes) + 1):
        for axes in combinations(mirror_axes, num):
            mirrored = patch_BCDHW.flip([axis + 2 for axis in axes]) if axes else patch_BCDHW
            with autocast(patch_BCDHW.device, precision):
                said = look(mirrored)
            yield axes, said


def _divide_by_weights(
    total_KDHW: Tensor, positions: tuple[tuple[int, ...], ...], patch_shape: Shape
) -> None:
    # Windows form a grid and their weights are a product over axes, and so is the sum of all
    # weights: three vectors do what otherwise needs a volume.
    for axis, (starts, size) in enumerate(zip(positions, patch_shape, strict=True)):
        weights = _axis_weights(size)
        total = torch.zeros(total_KDHW.shape[axis + 1])
        for start in starts:
            total[start : start + size] += weights
        shape = [1, 1, 1, 1]
        shape[axis + 1] = -1
        total_KDHW /= total.to(total_KDHW.device).reshape(shape)


def _shape(image_DHW: Tensor) -> Shape:
    depth, height, width = image_DHW.shape
    return depth, height, width
