"""What a phantom is to look like: patient, lesion and acquisition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Phase = Literal["arterial", "venous", "unenhanced"]
Kernel = Literal["soft", "standard", "sharp"]

PHASES: tuple[Phase, ...] = ("arterial", "venous", "unenhanced")
KERNELS: tuple[Kernel, ...] = ("soft", "standard", "sharp")
SUBTYPES = (0, 1, 2)
SITES = ("north", "south", "west")


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """Everything a phantom is made from; the same spec gives the same voxels.

    Args:
        seed: Seeds anatomy and noise.
        subtype: 0 hypodense solid, 1 hyperdense, 2 cystic; None for a healthy pancreas.
        phase: Contrast phase.
        slice_thickness_mm: Thickness and distance of the slices, 1 to 5 mm.
        pixel_mm: Distance of rows and columns.
        matrix: Number of rows and of columns.
        length_mm: Extent along z; the pancreas needs about 140 mm.
        noise_hu: Standard deviation of the noise near the centre of the body.
        kernel: Reconstruction kernel: how sharp the image is and how fine its noise.
        site: Scanner habits: fat and water calibration, table, drift of the field.
        age: Years; older glands are smaller, fattier and more lobulated.
        fat: 0 lean to 1 obese.
        stature: Scales the whole body; 1 is an average adult.
    """

    seed: int
    subtype: int | None = None
    phase: Phase = "venous"
    slice_thickness_mm: float = 2.5
    pixel_mm: float = 1.5
    matrix: int = 256
    length_mm: float = 240.0
    noise_hu: float = 11.0
    kernel: Kernel = "standard"
    site: str = "north"
    age: float = 60.0
    fat: float = 0.5
    stature: float = 1.0

    def __post_init__(self) -> None:
        if self.subtype not in (None, *SUBTYPES):
            raise ValueError("subtype must be 0, 1, 2 or None")
        if self.phase not in PHASES or self.kernel not in KERNELS or self.site not in SITES:
            raise ValueError(f"unknown phase, kernel or site: {self}")
        if not 1.0 <= self.slice_thickness_mm <= 5.0:
            raise ValueError("slice_thickness_mm must be from 1 to 5")
        if self.matrix * self.pixel_mm < 200.0 or self.length_mm < 150.0:
            raise ValueError("the field of view must hold the pancreas: 200 mm wide, 150 mm long")


def sample_spec(seed: int, *, subtype: int | None = None, **fixed: Any) -> PhantomSpec:
    """Draw a plausible patient and acquisition.

    Args:
        seed: The spec's seed; also what the draw depends on, and nothing else.
        subtype: Lesion subtype, or None for a healthy pancreas.
        fixed: Fields of `PhantomSpec` to hold rather than draw.
    """
    rng = np.random.default_rng([seed, 1])
    spec = PhantomSpec(
        seed=seed,
        subtype=subtype,
        # ours: mostly contrast-enhanced, as pancreatic protocols are.
        phase=PHASES[int(rng.choice(3, p=(0.42, 0.5, 0.08)))],
        length_mm=float(rng.uniform(205.0, 265.0)),
        noise_hu=float(rng.uniform(7.0, 15.0)),
        kernel=KERNELS[int(rng.choice(3, p=(0.3, 0.5, 0.2)))],
        site=SITES[int(rng.integers(len(SITES)))],
        age=float(rng.uniform(28.0, 86.0)),
        fat=float(rng.beta(2.0, 2.0)),
        stature=float(np.clip(rng.normal(1.0, 0.055), 0.88, 1.1)),
    )
    return replace(spec, **fixed)
