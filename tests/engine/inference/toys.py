"""A scan of known content and a network that reads it off the densities."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.geometry import Geometry, from_spacing
from engine.inference.model import Model
from engine.networks.boxes import encode
from engine.networks.detection import Detection, Selection
from engine.system import Inference, Part, Preparation, System, Training
from engine.volume import Volume

PANCREAS_HU = 100
LESION_HU = 200
_PREPARATION = Preparation((2.0, 1.0, 1.0), (-100.0, 300.0), hu_mean=50.0, hu_sd=100.0)
_TRAINING = Training((16, 32, 32), 1, 1, 1, Part("sgd"), (Part("dice_ce"),))


SELECTION = Selection(score=0.02, per_level=1000, overlap=0.22, max_boxes=20)


class DensityNetwork(nn.Module):
    """Calls a voxel by its density: air and fat below 50 HU, pancreas, and lesion above 150 HU."""

    def __init__(self, preparation: Preparation, num_classes: int = 3) -> None:
        super().__init__()
        self._preparation = preparation
        self._levels = (0.0, PANCREAS_HU, LESION_HU)[:num_classes]
        self.num_calls = 0
        self.trunk = SimpleNamespace(stage_strides=((1, 1, 1),))
        self.subtype, self.heads = None, nn.ModuleDict()

    def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
        self.num_calls += 1
        hu = image_BCDHW * self._preparation.hu_sd + self._preparation.hu_mean
        hu = hu.clamp(max=self._levels[-1])
        logits = [-((hu - level) ** 2) / 500 for level in self._levels]
        return {"segmentation": torch.cat(logits, dim=1)}


class DensityDetector(nn.Module):
    """Boxes everything above 150 HU in a window as one lesion, whatever its shape.

    Args:
        preparation: Says which value 150 HU has.
        probability: Given to every box.
    """

    needs_logits = False

    def __init__(self, preparation: Preparation, probability: float = 0.9) -> None:
        super().__init__()
        self.selection = SELECTION
        self._preparation = preparation
        self._probability = probability

    def forward(self, image_BCDHW: Tensor, stages: object = (), logits: object = ()) -> Detection:
        hu = image_BCDHW[0, 0] * self._preparation.hu_sd + self._preparation.hu_mean
        found = torch.nonzero(hu > (PANCREAS_HU + LESION_HU) / 2)
        if not len(found):
            return boxed(())
        box = (*found.amin(0).tolist(), *(found.amax(0) + 1).tolist())
        return boxed((box, self._probability))


class DetectingNetwork(DensityNetwork):
    """A `DensityNetwork` with a `DensityDetector`; each window passes it once."""

    def __init__(self, preparation: Preparation, probability: float = 0.9) -> None:
        super().__init__(preparation)
        self.heads["detection"] = DensityDetector(preparation, probability)

    def outputs(self, image_BCDHW: Tensor, names: Collection[str]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        logits = self(image_BCDHW)["segmentation"]
        if "segmentation" in names:
            said["segmentation"] = (logits,)
        if "detection" in names:
            said["detection"] = self.heads["detection"](image_BCDHW)
        return said


def boxed(*boxes: tuple) -> Detection:
    """Return what a detector says that has an anchor exactly where each (box, probability) is."""
    real = [pair for pair in boxes if pair]
    corners = torch.tensor([box for box, _ in real], dtype=torch.float32).reshape(-1, 6)
    chances = torch.tensor([chance for _, chance in real], dtype=torch.float32)
    deltas = encode(corners, corners) if len(corners) else torch.zeros(0, 6)
    return Detection(torch.logit(chances)[None], deltas[None], corners, (len(corners),), 1)


def toy_system(**inference: object) -> System:
    settings: dict = {"patch_shape": (32, 64, 64), "region_margin_mm": (10.0, 10.0, 10.0)}
    return System(
        name="toy",
        title="Densities",
        source="tests",
        network=Part("density"),
        heads=(Part("segmentation"),),
        preparation=_PREPARATION,
        training=_TRAINING,
        inference=Inference(**(settings | inference)),
    )


def toy_model(
    system: System | None = None, *, with_localiser: bool = True, precision: str = "fp32"
) -> Model:
    system = system or toy_system()
    localiser = None
    if with_localiser:
        coarse = Preparation((4.0, 4.0, 4.0), (-100.0, 300.0), hu_mean=50.0, hu_sd=100.0)
        coarse_system = System(
            name="toy-localiser",
            title="Densities, coarse",
            source="tests",
            network=Part("density"),
            heads=(Part("segmentation"),),
            preparation=coarse,
            training=_TRAINING,
            inference=Inference(patch_shape=(32, 32, 32)),
            structures=("pancreas",),
        )
        localiser = _model(coarse_system, None, 2, "fp32")
    return _model(system, localiser, 3, precision)


def _model(system: System, localiser: Model | None, num_classes: int, precision: str) -> Model:
    network = DensityNetwork(system.preparation, num_classes).eval()
    cpu = torch.device("cpu")
    return Model(system, network, localiser, cpu, precision, "0" * 64)  # pyright: ignore


def toy_volume(
    geometry: Geometry | None = None,
    *,
    organ_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    organ_radius_mm: float = 16.0,
    lesion_offset_mm: tuple[float, float, float] = (4.0, -3.0, 2.0),
    lesion_radius_mm: float = 8.0,
) -> Volume:
    """Return a ball of pancreas with a ball of lesion inside, around `organ_mm` (LPS).

    The axes of `geometry` are orthogonal.
    """
    geometry = geometry or toy_geometry()
    hu = np.zeros(geometry.shape, np.int16)
    hu[_ball(geometry, np.asarray(organ_mm), organ_radius_mm)] = PANCREAS_HU
    lesion_mm = np.add(organ_mm, lesion_offset_mm)
    hu[_ball(geometry, lesion_mm, lesion_radius_mm)] = LESION_HU
    return Volume(hu, geometry)


def _ball(geometry: Geometry, centre_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    index = geometry.to_index([centre_mm])[0]
    axes = [
        (np.arange(n) - i) * s
        for n, i, s in zip(geometry.shape, index, geometry.spacing_mm, strict=True)
    ]
    squared = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
    return squared <= radius_mm**2


def toy_geometry(
    shape: tuple[int, int, int] = (50, 96, 100),
    spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
) -> Geometry:
    """Return a canonical grid whose middle is at (0, 0, 0)."""
    middle = [(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True)]
    return from_spacing(shape, spacing_mm, (-middle[2], -middle[1], -middle[0]))


def reordered(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, ...]) -> Volume:
    """Return the same scan with its index axes permuted and flipped."""
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    voxels = np.ascontiguousarray(volume.voxels_hu.transpose(order)[steps])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        affine[old, new] = -1.0 if flip else 1.0
        affine[old, 3] = volume.geometry.shape[old] - 1 if flip else 0.0
    return Volume(voxels, Geometry(voxels.shape, volume.geometry.affine @ affine))
