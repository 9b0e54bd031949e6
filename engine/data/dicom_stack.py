"""Decide where the slices of a DICOM series belong on an even grid, and say what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.data.dicom_headers import Frame
from engine.data.dicom_series import Series, distances_mm
from engine.errors import IsletError
from engine.geometry import Geometry
from engine.volume import Remark

_SAME_POSITION_MM = 0.01
# Ours: below 1 % of the step no structure moves visibly, and positions are often rounded.
_EVEN_SHARE = 0.01
# Ours: spacing that varies by more than a tenth of the step makes volumes doubtful.
_UNSAFE_SHARE = 0.10
# Ours: how far a gap may be from a whole number of steps and still mean missing slices.
_WHOLE_STEP_SHARE = 0.10
# Ours: gaps beyond this many times the slices at hand are wrong positions, not missing slices.
_MAX_GROWTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The slices of a series, placed.

    Args:
        frames: One per distinct position, ordered along the normal.
        duplicates: For each frame, further frames at the same position.
        distances_mm: (n,) distance of each frame along the normal, from the first.
        grid_index: (n,) place of each frame on the even grid; whole numbers where it is even.
        num_grid_slices: Number of slices of the even grid.
        step_mm: Distance between slices of the even grid.
        shift_mm: (n, 2) how far each frame is moved against the first along (rows, columns).
        remarks: What was noticed.
    """

    frames: tuple[Frame, ...]
    duplicates: tuple[tuple[Frame, ...], ...]
    distances_mm: NDArray[np.float64]
    grid_index: NDArray[np.float64]
    num_grid_slices: int
    step_mm: float
    shift_mm: NDArray[np.float64]
    remarks: tuple[Remark, ...]

    @property
    def is_even(self) -> bool:
        """Whether every frame lies on a slice of the even grid."""
        return bool(np.all(self.grid_index == np.round(self.grid_index)))

    @property
    def is_sheared(self) -> bool:
        """Whether slices are shifted against each other within their plane."""
        return bool(np.any(self.shift_mm))

    @property
    def geometry(self) -> Geometry:
        """The even grid, before any shear is taken out."""
        first = self.frames[0]
        shape = (self.num_grid_slices, *first.shape)
        return Geometry(shape=shape, affine=_affine(first, self.step_mm))


def place_slices(series: Series) -> Stack:
    """Place the slices of `series` on an even grid.

    Raises:
        IsletError: If the series has no pictures, no positions, or positions without sense.
    """
    frames = _with_position(series)
    frames, duplicates = _set_duplicates_apart(frames)
    distances = distances_mm(frames)
    distances -= distances[0]
    step, grid_index, remarks = _even_grid(distances, frames)
    num_grid_slices = 1 + int(np.ceil(grid_index[-1] - 1e-6))
    if num_grid_slices > _MAX_GROWTH * len(frames) + 10:
        raise IsletError(
            f"The {len(frames)} slices are spread over {distances[-1]:.0f} mm with large gaps.",
            remedy="Export the complete series from the archive and open it again.",
        )
    shift, shear_remarks = _shear(frames, distances)
    return Stack(
        frames=frames,
        duplicates=duplicates,
        distances_mm=distances,
        grid_index=grid_index,
        num_grid_slices=num_grid_slices,
        step_mm=step,
        shift_mm=shift,
        remarks=(*remarks, *shear_remarks),
    )


def _with_position(series: Series) -> tuple[Frame, ...]:
    if not series.frames:
        raise IsletError(
            f"The series holds no pictures; its modality is {series.modality}.",
            remedy="Choose a CT series from the list.",
        )
    if series.modality == "SEG":
        raise IsletError(
            "The series is a segmentation, not a picture.",
            remedy="Choose the CT series that it belongs to.",
        )
    if series.samples_per_pixel != 1:
        raise IsletError(
            "The series holds colour pictures, such as a report or a screenshot.",
            remedy="Choose a CT series from the list.",
        )
    first = series.frames[0]
    if first.orientation is None or any(frame.position_mm is None for frame in series.frames):
        raise IsletError(
            "The pictures of this series do not say where in the patient they lie.",
            remedy="Choose the original CT series from the list instead.",
        )
    if not _is_right_angled(first.orientation):
        raise IsletError(
            "The orientation stated in the series is not a pair of perpendicular directions.",
            remedy="Export the series from the archive again, or choose another series.",
        )
    return series.frames


def _is_right_angled(orientation: tuple[float, ...]) -> bool:
    axes = np.reshape(orientation, (2, 3))
    return bool(np.allclose(axes @ axes.T, np.eye(2), atol=0.01))


def _set_duplicates_apart(
    frames: Sequence[Frame],
) -> tuple[tuple[Frame, ...], tuple[tuple[Frame, ...], ...]]:
    distances = distances_mm(frames)
    order = np.argsort(distances, kind="stable")
    groups: list[list[Frame]] = []
    last = -np.inf
    for index in order:
        if distances[index] - last > _SAME_POSITION_MM:
            groups.append([])
            last = distances[index]
        groups[-1].append(frames[index])
    return tuple(group[0] for group in groups), tuple(tuple(group[1:]) for group in groups)


def _even_grid(
    distances: NDArray[np.float64], frames: Sequence[Frame]
) -> tuple[float, NDArray[np.float64], list[Remark]]:
    if len(distances) == 1:
        remark = Remark("The series has a single slice.", blocks_analysis=True)
        return frames[0].thickness_mm or 1.0, np.zeros(1), [remark]
    steps = np.diff(distances)
    usual = float(np.median(steps))
    counts = np.maximum(1.0, np.round(steps / usual))
    is_gap = (counts > 1) & (np.abs(steps - counts * usual) <= _WHOLE_STEP_SHARE * usual * counts)
    index = np.concatenate([[0.0], np.cumsum(np.where(is_gap, counts, 1.0))])
    step = float(np.polyfit(index, distances, 1)[0])
    deviation = float(np.abs(distances - _fit(index, distances)).max()) / step
    remarks = _gap_remarks(steps, is_gap, usual, counts)
    if deviation <= _EVEN_SHARE:
        return step, index, [*remarks, *_jitter_remarks(deviation * step)]
    unevenness = float((np.abs(steps - usual)[~is_gap] / usual).max())
    return usual, distances / usual, [*remarks, _uneven_remark(steps[~is_gap], unevenness)]


def _fit(index: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.polyval(np.polyfit(index, distances, 1), index), dtype=np.float64)


def _gap_remarks(
    steps: NDArray[np.float64],
    is_gap: NDArray[np.bool_],
    usual: float,
    counts: NDArray[np.float64],
) -> list[Remark]:
    if not is_gap.any():
        return []
    missing = int((counts[is_gap] - 1).sum())
    slices = "1 slice is" if missing == 1 else f"{missing} slices are"
    message = (
        f"{slices} missing: there is a gap of {steps[is_gap].max():.1f} mm"
        f" where slices are {usual:.1f} mm apart; it is shown empty."
    )
    return [Remark(message, blocks_analysis=True)]


def _jitter_remarks(deviation_mm: float) -> list[Remark]:
    if deviation_mm <= 2 * _SAME_POSITION_MM:
        return []
    return [Remark(f"Slice positions deviate by up to {deviation_mm:.2f} mm from an even grid.")]


def _uneven_remark(steps: NDArray[np.float64], unevenness: float) -> Remark:
    message = (
        f"Slices are unevenly spaced, {steps.min():.2f} to {steps.max():.2f} mm apart;"
        " they were resampled to an even grid."
    )
    return Remark(message, blocks_analysis=unevenness > _UNSAFE_SHARE)


def _shear(
    frames: Sequence[Frame], distances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[Remark]]:
    """Measure how slices slide against each other within their plane, as under a tilted gantry."""
    columns_way, rows_way, _ = _axes(frames[0])
    origins = np.array([frame.position_mm for frame in frames]) - frames[0].position_mm
    shift = np.stack([origins @ rows_way, origins @ columns_way], axis=1)
    half_pixel = 0.5 * min(_spacing(frames[0]))
    if np.abs(shift).max() <= half_pixel:
        return np.zeros_like(shift), []
    slope = shift.T @ distances / max(float(distances @ distances), 1e-12)
    straight = np.outer(distances, slope)
    if np.abs(shift - straight).max() > half_pixel:
        message = "Slices are shifted irregularly against each other; they were aligned."
        return shift, [Remark(message, blocks_analysis=True)]
    angle = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    message = (
        f"The gantry was tilted by {angle:.1f}°; the slices were resampled to a right-angled grid."
    )
    return straight, [Remark(message)]


def _axes(
    frame: Frame,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors along the columns index, the rows index and the stacking axis."""
    assert frame.orientation is not None
    columns_way = np.asarray(frame.orientation[:3]) / np.linalg.norm(frame.orientation[:3])
    normal = np.cross(columns_way, frame.orientation[3:])
    normal /= np.linalg.norm(normal)
    return columns_way, np.cross(normal, columns_way), normal


def _spacing(frame: Frame) -> tuple[float, float]:
    rows, columns = frame.pixel_spacing_mm or (1.0, 1.0)
    return rows, columns


def _affine(frame: Frame, step_mm: float) -> NDArray[np.float64]:
    columns_way, rows_way, normal = _axes(frame)
    row_mm, column_mm = _spacing(frame)
    affine = np.eye(4)
    affine[:3, 0] = normal * step_mm
    affine[:3, 1] = rows_way * row_mm
    affine[:3, 2] = columns_way * column_mm
    affine[:3, 3] = frame.position_mm
    return affine
