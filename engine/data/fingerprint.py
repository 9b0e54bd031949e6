"""What a data set is like as a whole, and the plan that suggests itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.case_facts import CaseFacts
from engine.data.dataset_check import DatasetReport
from engine.data.datasets import Entry

_PERCENTILES = (0, 10, 50, 90, 100)
# nnU-Net (Isensee et al., 2021, Supplementary Note 2): an axis whose spacing is over three times
# the others', and whose voxels are over three times fewer, is resampled to its 10th percentile.
_ANISOTROPY = 3.0
_ANISOTROPIC_PERCENTILE = 10


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The figures of a data set.

    Args:
        num_cases: Cases that are not broken.
        spacing_mm: Percentiles 0, 10, 50, 90 and 100 along (slice, row, column).
        shape: The same of the number of voxels.
        hu_mean: Of all labelled voxels.
        hu_sd: Of all labelled voxels.
        hu_window: Their 0.5th and 99.5th percentile.
        num_lesions: By number of lesions in a case, how many cases; e.g. (("1", 12),).
        lesion_mm3: Percentiles 0, 10, 50, 90 and 100 of the lesions' volumes; empty without any.
        subtypes: By subtype, or "none", how many cases.
        planned_spacing_mm: What nnU-Net would resample to, (slice, row, column).
        planned_shape: Median number of voxels on that grid.
    """

    num_cases: int
    spacing_mm: tuple[tuple[float, float, float], ...]
    shape: tuple[tuple[float, float, float], ...]
    hu_mean: float
    hu_sd: float
    hu_window: tuple[float, float]
    num_lesions: tuple[tuple[str, int], ...]
    lesion_mm3: tuple[float, ...]
    subtypes: tuple[tuple[str, int], ...]
    planned_spacing_mm: tuple[float, float, float]
    planned_shape: tuple[int, int, int]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        pairs = {"num_lesions": dict(self.num_lesions), "subtypes": dict(self.subtypes)}
        return {**asdict(self), **pairs}


def fingerprint(report: DatasetReport) -> Fingerprint:
    """Return the figures of the cases of a checked data set that are not broken.

    Raises:
        ValueError: If every case is broken.
    """
    broken = {problem.case_id for problem in report.fatal}
    entries = [entry for entry in report.entries if entry.case_id not in broken]
    if not entries:
        raise ValueError("no case is usable")
    facts = [report.facts[entry.case_id] for entry in entries]
    spacings = np.array([each.spacing_mm for each in facts])
    shapes = np.array([each.shape for each in facts], float)
    mean, sd, window = _densities(facts)
    sizes = [size for each in facts for size in each.lesions_mm3]
    planned = plan_spacing(spacings, shapes)
    on_grid = np.median(shapes * spacings / np.array(planned), axis=0)
    return Fingerprint(
        num_cases=len(entries),
        spacing_mm=_triples(np.percentile(spacings, _PERCENTILES, axis=0)),
        shape=_triples(np.percentile(shapes, _PERCENTILES, axis=0)),
        hu_mean=mean,
        hu_sd=sd,
        hu_window=window,
        num_lesions=_counted(Counter(str(len(each.lesions_mm3)) for each in facts)),
        lesion_mm3=tuple(float(v) for v in np.percentile(sizes, _PERCENTILES)) if sizes else (),
        subtypes=_counted(Counter(_subtype_name(entry) for entry in entries)),
        planned_spacing_mm=planned,
        planned_shape=_whole(on_grid),
    )


def plan_spacing(
    spacings_mm: NDArray[np.float64], shapes: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the spacing to resample to, as nnU-Net chooses it.

    The median of every axis; the coarsest one is made finer where it is anisotropic, so that few
    cases lose slices. Isensee et al., 2021, Supplementary Note 2.

    Args:
        spacings_mm: (n, 3) of the cases.
        shapes: (n, 3) of the cases.
    """
    target = np.median(spacings_mm, axis=0)
    shape = np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    is_coarse = target[worst] > _ANISOTROPY * max(target[others])
    if is_coarse and shape[worst] * _ANISOTROPY < min(shape[others]):
        finer = float(np.percentile(spacings_mm[:, worst], _ANISOTROPIC_PERCENTILE))
        target[worst] = max(finer, max(target[others]))
    return (float(target[0]), float(target[1]), float(target[2]))


def plan_patch(
    median_shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    max_voxels: int,
    divisors: tuple[int, int, int],
) -> tuple[int, int, int]:
    """Return the largest patch of a budget that is shaped like the median volume.

    It grows by one divisor at a time along the axis of which it covers the smallest share; of
    equal shares, along the one that is shortest in mm. No axis grows beyond the volume.

    Args:
        median_shape: Of the volumes on the training grid.
        spacing_mm: Of that grid.
        max_voxels: Budget.
        divisors: The patch is a multiple of these, at least one of each.

    Raises:
        ValueError: If not even one of each divisor fits in the budget.
    """
    patch = np.array(divisors)
    if int(np.prod(patch)) > max_voxels:
        raise ValueError("the budget is smaller than the smallest patch")
    while True:
        share = patch / np.array(median_shape)
        size_mm = patch * np.array(spacing_mm)
        # np.lexsort sorts by its last key first.
        grown = [
            larger
            for axis in np.lexsort((size_mm, share))
            if share[axis] < 1 and np.prod(larger := _grown(patch, divisors, axis)) <= max_voxels
        ]
        if not grown:
            return _whole(patch)
        patch = grown[0]


def _grown(patch: NDArray[np.int_], divisors: tuple[int, int, int], axis: int) -> NDArray[np.int_]:
    larger = patch.copy()
    larger[axis] += divisors[axis]
    return larger


def _densities(facts: list[CaseFacts]) -> tuple[float, float, tuple[float, float]]:
    totals: Counter[int] = Counter()
    for each in facts:
        totals.update(dict(each.histogram))
    if not totals:
        return 0.0, 1.0, (0.0, 0.0)
    values = np.array(sorted(totals), float)
    counts = np.array([totals[int(value)] for value in values], float)
    mean = float(np.average(values, weights=counts))
    sd = float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
    share = np.cumsum(counts) / counts.sum()
    low, high = (float(values[np.searchsorted(share, wanted)]) for wanted in (0.005, 0.995))
    return mean, sd, (low, high)


def _subtype_name(entry: Entry) -> str:
    return "none" if entry.subtype is None else str(entry.subtype)


def _counted(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items()))


def _triples(rows: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)


def _whole(values: NDArray[Any]) -> tuple[int, int, int]:
    return (round(float(values[0])), round(float(values[1])), round(float(values[2])))
