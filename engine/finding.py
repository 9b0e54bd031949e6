"""What a system found in a case, and what a reader made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from engine.volume import LabelMap


class Review(StrEnum):
    """What a reader decided about a finding."""

    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in patient coordinates, outer faces of the voxels included.

    Args:
        lower_mm: (x, y, z) LPS of the smallest corner, in mm.
        upper_mm: (x, y, z) LPS of the largest corner, in mm.
    """

    lower_mm: tuple[float, float, float]
    upper_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """One lesion: where it is, how large, how dense and how likely.

    A lesion that was detected as a box and not outlined has a volume of 0; its centre is that of
    the box, its axes are the sides of the box and its density is that inside the box.

    Args:
        finding_id: Unique within its prediction, e.g. "lesion-1".
        structure: Name of the labelled structure.
        probability: That there is a lesion here, 0 to 1.
        centre_mm: (x, y, z) LPS of the centroid, in mm.
        box_mm: The enclosing box.
        volume_mm3: Labelled volume in mm³; 0 without an outline.
        longest_diameter_mm: Longest axis within an axial slice, in mm.
        short_axis_mm: Longest axis perpendicular to it in the same slice, in mm.
        mean_hu: Mean density inside the label, in HU.
        sd_hu: Standard deviation of the density inside the label, in HU.
        subtype: Most probable subtype, where the system has a subtype head.
        review: The reader's decision.
        reason: Why the reader rejected it; empty otherwise.
    """

    finding_id: str
    structure: str
    probability: float
    centre_mm: tuple[float, float, float]
    box_mm: Box
    volume_mm3: float
    longest_diameter_mm: float
    short_axis_mm: float
    mean_hu: float
    sd_hu: float
    subtype: int | None = None
    review: Review = Review.PROPOSED
    reason: str = ""

    @property
    def is_outlined(self) -> bool:
        """Whether voxels are labelled as this lesion; otherwise only its box is known."""
        return self.volume_mm3 > 0


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Everything a system says about one case.

    Args:
        case_id: The case.
        system: Name of the system.
        labels: Structures on exactly the grid of the case's volume.
        findings: Most probable first.
        subtype_probabilities: Of the case, by subtype; empty without a subtype head, and where a
            system that looks for lesions found none.
        seconds: Wall time by stage, in order of execution.
        weights_digest: SHA-256 of the weights file, hexadecimal.
        device: Where it ran, e.g. "cpu" or "cuda:0".
        precision: "fp32", "bf16" or "fp16".
        route: "region" where the localiser's region was analysed, "full" for the whole volume.
        peak_memory_bytes: Largest memory of the process that ran it.
    """

    case_id: str
    system: str
    labels: LabelMap
    findings: tuple[Finding, ...]
    subtype_probabilities: tuple[float, ...]
    seconds: Mapping[str, float]
    weights_digest: str
    device: str = "cpu"
    precision: str = "fp32"
    route: str = "full"
    peak_memory_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", MappingProxyType(dict(self.seconds)))
