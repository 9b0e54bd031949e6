"""Read a DICOM CT series into a volume, and say what is wrong with it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from engine.data.dicom_headers import Frame, quiet_pydicom
from engine.data.dicom_pixels import AIR_HU, HuArray, decode_frames
from engine.data.dicom_series import Series, find_series, find_series_of
from engine.data.dicom_stack import Stack, place_slices
from engine.data.plausibility import density_remarks, geometry_remarks
from engine.data.shear import Aligner, spread_evenly
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress
from engine.volume import Remark, Volume

__all__ = ["Series", "find_series", "find_series_of", "read_middle_slice", "read_volume"]

log = logging.getLogger(__name__)

STAGE = "Reading slices"


def read_volume(series: Series, on_progress: OnProgress = ignore_progress) -> Volume:
    """Decode every slice of `series` into one volume on an even, right-angled grid.

    Slices are ordered by position. A tilted gantry and uneven spacing are resampled, missing
    and damaged slices are left empty (-1024 HU), duplicates are dropped; each is remarked,
    and what makes a measurement doubtful blocks analysis.

    Raises:
        IsletError: If there is nothing to read.
        CancelledError: If `on_progress` raises it.
    """
    stack = place_slices(series)
    with quiet_pydicom():
        pictures, remarks = _decode(stack, on_progress)
    volume = _assemble(stack, pictures)
    remarks = (
        *series.remarks,
        *_series_remarks(series, stack),
        *stack.remarks,
        *remarks,
        *geometry_remarks(volume.geometry),
        *(density_remarks(volume.voxels_hu) if _is_unit_unsure(series) else ()),
    )
    log.info("Read %d slices of %s", len(pictures), series.modality)
    return replace(volume, remarks=remarks)


def read_middle_slice(series: Series) -> Volume:
    """Decode one slice from the middle of `series`, at its true place, to show at once.

    Raises:
        IsletError: If there is nothing to read.
    """
    stack = place_slices(series)
    middle = stack.frames[len(stack.frames) // 2]
    one = place_slices(replace(series, frames=(middle,), files=(middle.path,)))
    with quiet_pydicom():
        _, picture = next(iter(decode_frames([middle])))
    if picture is None:
        raise _unreadable_pixels(1)
    return Volume(voxels_hu=picture[np.newaxis], geometry=one.geometry)


def _decode(
    stack: Stack, on_progress: OnProgress
) -> tuple[list[HuArray | None], tuple[Remark, ...]]:
    extra = [frame for group in stack.duplicates for frame in group]
    pictures: dict[int, HuArray | None] = {}
    total = len(stack.frames) + len(extra)
    for place, picture in decode_frames([*stack.frames, *extra]):
        pictures[place] = picture
        on_progress(STAGE, len(pictures) / total)
    kept, conflicts = _merge_duplicates(stack, pictures)
    num_broken = sum(picture is None for picture in kept)
    if num_broken == len(kept):
        raise _unreadable_pixels(len(kept))
    return kept, (*_duplicate_remarks(len(extra), conflicts), *_broken_remarks(num_broken))


def _merge_duplicates(
    stack: Stack, pictures: dict[int, HuArray | None]
) -> tuple[list[HuArray | None], int]:
    """Keep one readable picture per position, and count positions whose pictures differ."""
    kept: list[HuArray | None] = []
    conflicts, after = 0, len(stack.frames)
    for place, group in enumerate(stack.duplicates):
        others = [pictures[after + n] for n in range(len(group))]
        after += len(group)
        readable = [each for each in (pictures[place], *others) if each is not None]
        kept.append(readable[0] if readable else None)
        conflicts += any(not np.array_equal(readable[0], other) for other in readable[1:])
    return kept, conflicts


def _duplicate_remarks(num_extra: int, conflicts: int) -> tuple[Remark, ...]:
    if not num_extra:
        return ()
    if conflicts:
        places = "1 position" if conflicts == 1 else f"{conflicts} positions"
        message = f"Slices with different pictures lie at {places}; the first of each is shown."
        return (Remark(message, blocks_analysis=True),)
    slices = "1 duplicate slice was" if num_extra == 1 else f"{num_extra} duplicate slices were"
    return (Remark(f"{slices} left out."),)


def _broken_remarks(num_broken: int) -> tuple[Remark, ...]:
    if not num_broken:
        return ()
    slices = "1 slice is" if num_broken == 1 else f"{num_broken} slices are"
    message = f"{slices} cut short or damaged, and shown empty."
    return (Remark(message, blocks_analysis=True),)


def _unreadable_pixels(count: int) -> IsletError:
    slices = "The slice is" if count == 1 else f"All {count} slices are"
    return IsletError(
        f"{slices} cut short, damaged or compressed in an unknown way.",
        remedy="Export the series from the archive again, uncompressed if possible.",
    )


def _assemble(stack: Stack, pictures: list[HuArray | None]) -> Volume:
    if stack.is_even and not stack.is_sheared:
        return _stack_up(stack, pictures)
    geometry = stack.geometry
    aligner = Aligner(geometry, stack.shift_mm / np.asarray(geometry.spacing_mm[1:]))
    empty = np.full(stack.frames[0].shape, AIR_HU, dtype=np.float32)
    aligned = [
        aligner.align(
            empty if picture is None else picture.astype(np.float32, copy=False), place, AIR_HU
        )
        for place, picture in enumerate(pictures)
    ]
    voxels = spread_evenly(aligned, stack.grid_index, stack.num_grid_slices, AIR_HU)
    if all(picture is None or picture.dtype == np.int16 for picture in pictures):
        return Volume(voxels_hu=np.round(voxels).astype(np.int16), geometry=aligner.aligned)
    return Volume(voxels_hu=voxels, geometry=aligner.aligned)


def _stack_up(stack: Stack, pictures: list[HuArray | None]) -> Volume:
    kinds = [picture.dtype for picture in pictures if picture is not None]
    dtype = np.int16 if all(kind == np.int16 for kind in kinds) else np.float32
    voxels: HuArray = np.full(stack.geometry.shape, AIR_HU, dtype=dtype)  # pyright: ignore[reportAssignmentType]
    for index, picture in zip(stack.grid_index, pictures, strict=True):
        if picture is not None:
            voxels[int(index)] = picture
    return Volume(voxels_hu=voxels, geometry=stack.geometry)


def _is_unit_unsure(series: Series) -> bool:
    return any(frame.rescale_type == "US" for frame in series.frames)


def _series_remarks(series: Series, stack: Stack) -> list[Remark]:
    blocking = []
    if series.modality != "CT":
        blocking.append(f"The series is {series.modality or 'of unknown kind'}, not CT.")
    if series.kind == "localiser":
        blocking.append("The series is a localiser, not a stack of slices.")
    if series.kind == "secondary":
        blocking.append("The series holds secondary captures, not original slices.")
    if series.photometric == "MONOCHROME1":
        blocking.append("The series is stored inverted (MONOCHROME1), unusual for CT.")
    if any(frame.pixel_spacing_mm is None for frame in stack.frames):
        blocking.append("The series does not state its pixel spacing; 1 mm was assumed.")
    if any(frame.rescale is None for frame in stack.frames):
        blocking.append("The series does not say how to convert its values to Hounsfield units.")
    blocking += _unit_remarks(stack.frames)
    return [Remark(message, blocks_analysis=True) for message in blocking]


def _unit_remarks(frames: tuple[Frame, ...]) -> list[str]:
    units = Counter(frame.rescale_type for frame in frames)
    odd = [unit for unit in units if unit not in ("", "HU", "US")]
    return [f"The values are {unit}, not Hounsfield units." for unit in odd]
