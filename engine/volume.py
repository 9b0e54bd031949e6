"""Voxels with a place in the patient: CT volumes and label maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Geometry


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a reader should know about how a volume was read.

    Args:
        message: A finished sentence, shown to the reader.
        blocks_analysis: Whether the volume may be viewed but must not be analysed.
    """

    message: str
    blocks_analysis: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units.

    Args:
        voxels_hu: (slices, rows, columns), int16 where that is exact, else float32.
        geometry: The grid; its shape equals that of `voxels_hu`.
        remarks: What was noticed while reading.
    """

    voxels_hu: NDArray[np.int16] | NDArray[np.float32]
    geometry: Geometry
    remarks: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels_hu.dtype.name not in ("int16", "float32"):
            raise ValueError("voxels_hu must be int16 or float32")
        _freeze(self.voxels_hu, self.geometry)

    @property
    def unsafe_reasons(self) -> tuple[str, ...]:
        """Why this volume must not be analysed; empty where it may be."""
        return tuple(remark.message for remark in self.remarks if remark.blocks_analysis)


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """One structure, or none (0), for every voxel.

    Args:
        labels: (slices, rows, columns), uint8.
        names: Value to structure name, e.g. {1: "pancreas", 2: "lesion"}; 0 is the background.
        geometry: The grid; its shape equals that of `labels`.
    """

    labels: NDArray[np.uint8]
    names: Mapping[int, str]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.labels.dtype.name != "uint8":
            raise ValueError("labels must be uint8")
        _freeze(self.labels, self.geometry)
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def value_of(self, structure: str) -> int:
        """Return the label value of `structure`.

        Raises:
            KeyError: If the map does not know the structure.
        """
        for value, name in self.names.items():
            if name == structure:
                return value
        raise KeyError(structure)

    def volume_mm3(self, structure: str) -> float:
        """Return the labelled volume of `structure` in mm³."""
        count = np.count_nonzero(self.labels == self.value_of(structure))
        return float(count) * self.geometry.voxel_volume_mm3


def _freeze(array: NDArray[np.generic], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        raise ValueError(f"array is {array.shape}, geometry is {geometry.shape}")
    array.setflags(write=False)
