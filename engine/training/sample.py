"""Draw the patches of a training step, each from a generator of its own.

The n-th patch of the s-th step depends on (seed, s, n) and on nothing else: a resumed training
sees the patches of an uninterrupted one, and so do two processes that share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from engine.data.patches import draw_patch_of
from engine.data.store import StoredCase
from engine.networks.build import JOINT_SUBTYPE, joint_heads
from engine.run import Plan
from engine.training.augment import Augmentation, augment
from engine.training.batch import UNKNOWN_SUBTYPE, Batch

_DETECTION = "detection"
# ours: a smaller piece is the rim of a lesion that the patch's border cut.
_MIN_BOX_VOXELS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One patch as it was drawn.

    Args:
        image: (D, H, W) float32, normalised.
        labels: (D, H, W) int64.
        annotated: By structure, whether a reader looked for it.
        subtype: Of the case; `UNKNOWN_SUBTYPE` for a healthy or unknown one.
        seed: Of its augmentation.
    """

    image: Tensor
    labels: Tensor
    annotated: tuple[bool, ...]
    subtype: int
    seed: int

    def changed(self, recipe: Augmentation, device: torch.device) -> Sample:
        """Return an augmented copy, computed on `device`."""
        generator = torch.Generator().manual_seed(self.seed)
        image, labels = augment(self.image.to(device), self.labels.to(device), recipe, generator)
        return Sample(image, labels, self.annotated, self.subtype, self.seed)


class Sampler:
    """Draws the patches of one plan.

    Args:
        plan: Says how large patches are, and what of.
        cases: Training cases.
    """

    def __init__(self, plan: Plan, cases: Sequence[StoredCase]) -> None:
        self._plan = plan
        names = {head.name for head in joint_heads(plan.system)}
        self._classifies = bool(names & JOINT_SUBTYPE)
        self._detects = _DETECTION in names
        structures = plan.system.structures
        self._lesion = structures.index("lesion") + 1 if "lesion" in structures else None
        self._strata = self._stratify(cases)

    def draw(self, step: int, number: int) -> Sample:
        """Draw the patch `number` of the batch of `step`."""
        plan = self._plan
        rng = np.random.default_rng((plan.seed, step, number))
        stratum = self._strata[int(rng.integers(len(self._strata)))]
        case = stratum[int(rng.integers(len(stratum)))]
        # A patch without its lesion says nothing about the subtype.
        wanted = self._lesion if self._classifies and case.subtype is not None else None
        share = plan.system.training.foreground_share
        image, labels = draw_patch_of(case, plan.patch_shape, share, rng, wanted=wanted)
        return Sample(
            torch.from_numpy(image),
            torch.from_numpy(labels).long(),
            case.annotated or (True,) * len(plan.system.structures),
            UNKNOWN_SUBTYPE if case.subtype is None else case.subtype,
            int(rng.integers(2**62)),
        )

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """Put samples of one device together."""
        device = samples[0].image.device
        subtypes = [
            sample.subtype if self._shows_lesion(sample) else UNKNOWN_SUBTYPE for sample in samples
        ]
        return Batch(
            image_BCDHW=torch.stack([sample.image for sample in samples])[:, None],
            labels_BDHW=torch.stack([sample.labels for sample in samples]),
            annotated_BK=torch.tensor([sample.annotated for sample in samples], device=device),
            boxes=tuple(self._boxes(sample).to(device) for sample in samples),
            subtypes_B=torch.tensor(subtypes, device=device),
        )

    def _stratify(self, cases: Sequence[StoredCase]) -> list[list[StoredCase]]:
        """Group cases so that a joint classifier sees every subtype equally often."""
        if not self._classifies:
            return [list(cases)]
        subtypes = sorted({-1 if case.subtype is None else case.subtype for case in cases})
        return [
            [case for case in cases if (-1 if case.subtype is None else case.subtype) == subtype]
            for subtype in subtypes
        ]

    def _shows_lesion(self, sample: Sample) -> bool:
        if self._lesion is None or not self._classifies:
            return False
        return bool((sample.labels == self._lesion).any())

    def _boxes(self, sample: Sample) -> Tensor:
        if not self._detects or self._lesion is None:
            return torch.zeros(0, 6)
        return lesion_boxes((sample.labels == self._lesion).cpu().numpy())


def lesion_boxes(lesion_DHW: np.ndarray) -> Tensor:
    """Return the box of every connected lesion: (n, 6), as `Batch.boxes` has them."""
    pieces = np.zeros(lesion_DHW.shape, np.int32)
    ndimage.label(lesion_DHW, np.ones((3, 3, 3)), output=pieces)
    sizes = np.bincount(pieces.ravel())[1:]
    boxes = [
        [*(axis.start for axis in box), *(axis.stop for axis in box)]
        for box, size in zip(ndimage.find_objects(pieces), sizes, strict=True)
        if size >= _MIN_BOX_VOXELS
    ]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 6)
