"""Find the DICOM series below a folder from their headers alone."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.case import Identity
from engine.data.dicom_headers import Frame, Header, looks_like_dicom, quiet_pydicom, read_header
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress
from engine.volume import Remark

log = logging.getLogger(__name__)

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Two frames belong to one stack when their axes agree to about half a degree.
_SAME_DIRECTION = 0.01
# Ours: below this share of doubled positions it is a stray duplicate, not a second phase.
_PHASE_SHARE = 0.3
_SAME_POSITION_MM = 0.01


@dataclass(frozen=True, slots=True)
class Series:
    """Pictures that belong together: one stack of one DICOM series.

    Args:
        series_uid: SeriesInstanceUID; empty where the files do not say.
        files: The files, in the order of their frames.
        kind: "ct", "localiser", "secondary" (a picture of pictures) or "other".
        modality: DICOM modality, e.g. "CT".
        num_slices: Number of distinct positions; 0 where there is no picture.
        slice_spacing_mm: Usual distance between slices; None for fewer than two.
        phase: Contrast phase as far as descriptions tell.
        identity: Patient and series as written in the corner of a view.
        window: Default (width, centre) in HU.
        frames: The pictures, ordered along the stacking axis where that is known.
        part: Which stack of the series, from 1; 0 where the series is one stack.
        photometric: PhotometricInterpretation, e.g. "MONOCHROME2".
        samples_per_pixel: 1 for grey, 3 for colour.
        remarks: What was noticed while sorting the files.
    """

    series_uid: str
    files: tuple[Path, ...]
    kind: str
    modality: str
    num_slices: int
    slice_spacing_mm: float | None
    phase: str | None
    identity: Identity
    window: tuple[float, float] | None
    frames: tuple[Frame, ...]
    part: int = 0
    photometric: str = "MONOCHROME2"
    samples_per_pixel: int = 1
    remarks: tuple[Remark, ...] = ()


def find_series(folder: Path, on_progress: OnProgress = ignore_progress) -> tuple[Series, ...]:
    """List the DICOM series in and below a folder; reads headers only.

    Localisers, secondary captures and other modalities are listed too, set apart by `kind`.
    A series that mixes orientations, sizes or phases is listed as several stacks.

    Raises:
        IsletError: If no file can be read as DICOM.
    """
    return _list_series(_files_below(folder), on_progress)


def find_series_of(file: Path, on_progress: OnProgress = ignore_progress) -> tuple[Series, ...]:
    """Return the stack that `file` belongs to, from the files beside it.

    Raises:
        IsletError: If the file cannot be read as DICOM.
    """
    beside = _list_series(sorted(file.parent.iterdir()), on_progress)
    return tuple(s for s in beside if file in s.files) or _list_series([file], on_progress)


def _list_series(candidates: list[Path], on_progress: OnProgress) -> tuple[Series, ...]:
    paths = [path for path in candidates if path.is_file() and looks_like_dicom(path)]
    headers, num_broken = _read_headers(paths, on_progress)
    if not headers:
        raise _nothing_readable(num_broken)
    remarks = _broken_files_remark(num_broken)
    series = [found for group in _by_series(headers) for found in _stacks(group, remarks)]
    log.info("Found %d series in %d files, %d unreadable", len(series), len(paths), num_broken)
    return tuple(sorted(series, key=_list_order))


def _files_below(folder: Path) -> list[Path]:
    found = [
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if name.upper() != "DICOMDIR"
    ]
    return sorted(found)


def _read_headers(paths: list[Path], on_progress: OnProgress) -> tuple[list[Header], int]:
    headers: list[Header] = []
    pool = ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2))
    try:
        with quiet_pydicom():
            for number, header in enumerate(pool.map(read_header, paths, chunksize=8), start=1):
                on_progress("Reading headers", number / len(paths))
                if header is not None:
                    headers.append(header)
    finally:
        pool.shutdown(cancel_futures=True)
    return headers, len(paths) - len(headers)


def _nothing_readable(num_broken: int) -> IsletError:
    if num_broken:
        files = "The only DICOM file is" if num_broken == 1 else f"All {num_broken} DICOM files are"
        return IsletError(
            f"{files} damaged and cannot be read.",
            remedy="Export the study from the archive again and open the new copy.",
        )
    return IsletError(
        "There is no DICOM file here.",
        remedy="Choose the folder that holds the slices of the CT, or a NIfTI, NRRD or MHA file.",
    )


def _broken_files_remark(num_broken: int) -> tuple[Remark, ...]:
    if not num_broken:
        return ()
    files = "1 DICOM file" if num_broken == 1 else f"{num_broken} DICOM files"
    return (Remark(f"{files} here could not be read; the series may be incomplete."),)


def _by_series(headers: Iterable[Header]) -> list[list[Header]]:
    groups: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        # Without an UID, files of one folder that say the same about themselves go together.
        who = header.identity
        uid = header.series_uid or (
            *(header.path.parent, header.study_uid, header.modality, who.study_date),
            *(who.series_number, who.series_description),
        )
        # Never put two patients into one volume, whatever the UIDs say.
        groups[uid, who.patient_id, who.patient_name].append(header)
    return list(groups.values())


def _stacks(headers: list[Header], remarks: tuple[Remark, ...]) -> list[Series]:
    of_frame = {(frame.path, frame.number): header for header in headers for frame in header.frames}
    stacks = _split_stacks(headers)
    if not stacks:
        return [_series(headers[0], headers, (), 0, remarks)]
    if len(stacks) > 1:
        message = f"The series mixes {len(stacks)} stacks of pictures; each is listed on its own."
        remarks = (*remarks, Remark(message))
    return [
        _series(
            of_frame[frames[0].path, frames[0].number],
            headers,
            frames,
            number if len(stacks) > 1 else 0,
            remarks,
        )
        for number, frames in enumerate(stacks, start=1)
    ]


def _series(
    header: Header,
    headers: list[Header],
    frames: tuple[Frame, ...],
    part: int,
    remarks: tuple[Remark, ...],
) -> Series:
    distances = np.unique(np.round(distances_mm(frames), 2)) if frames else np.zeros(0)
    paths = [frame.path for frame in frames] or [each.path for each in headers]
    return Series(
        series_uid=header.series_uid,
        files=tuple(dict.fromkeys(paths)),
        kind=_kind(header, frames),
        modality=header.modality,
        num_slices=len(distances),
        slice_spacing_mm=float(np.median(np.diff(distances))) if len(distances) > 1 else None,
        phase=header.phase,
        identity=header.identity,
        window=header.window,
        frames=frames,
        part=part,
        photometric=header.photometric,
        samples_per_pixel=header.samples_per_pixel,
        remarks=remarks,
    )


def _kind(header: Header, frames: Sequence[Frame]) -> str:
    if not frames or header.modality != "CT":
        is_capture = header.sop_class_uid.startswith(_SECONDARY_CAPTURE) and bool(frames)
        return "secondary" if is_capture else "other"
    if "LOCALIZER" in frames[0].image_type:
        return "localiser"
    is_placed = frames[0].position_mm is not None and frames[0].orientation is not None
    is_secondary = header.sop_class_uid.startswith(_SECONDARY_CAPTURE)
    if is_secondary or header.samples_per_pixel != 1 or not is_placed:
        return "secondary"
    return "ct"


def _split_stacks(headers: list[Header]) -> list[tuple[Frame, ...]]:
    alike: dict[Hashable, list[Frame]] = defaultdict(list)
    for header in headers:
        for frame in header.frames:
            alike[_appearance(header, frame)].append(frame)
    same_way = [group for frames in alike.values() for group in _by_direction(frames)]
    split = [part for frames in same_way for part in _by_moment(frames)]
    return [tuple(_ordered(frames)) for frames in split]


def _appearance(header: Header, frame: Frame) -> Hashable:
    spacing = frame.pixel_spacing_mm
    return (
        header.modality,
        header.samples_per_pixel,
        frame.shape,
        tuple(round(step, 3) for step in spacing) if spacing else None,
        "LOCALIZER" in frame.image_type,
        frame.position_mm is None or frame.orientation is None,
    )


def _by_direction(frames: list[Frame]) -> list[list[Frame]]:
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            if _is_same_direction(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _is_same_direction(one: Frame, other: Frame) -> bool:
    if one.orientation is None or other.orientation is None:
        return one.orientation is other.orientation
    return bool(np.allclose(one.orientation, other.orientation, atol=_SAME_DIRECTION))


def _by_moment(frames: list[Frame]) -> list[list[Frame]]:
    """Split phases that share positions; a few duplicated slices are left for the reader."""
    if frames[0].orientation is None or frames[0].position_mm is None:
        return [frames]
    num_doubled = len(frames) - _num_positions(frames)
    if num_doubled < max(2, _PHASE_SHARE * _num_positions(frames)):
        return [frames]
    for number in range(len(frames[0].moments)):
        groups = _group_by(frames, lambda frame, number=number: frame.moments[number])
        is_few = 1 < len(groups) < len(frames) / 2
        if is_few and all(_num_positions(group) == len(group) for group in groups):
            return groups
    return [frames]


def _group_by(frames: list[Frame], key: Callable[[Frame], str]) -> list[list[Frame]]:
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def _num_positions(frames: Sequence[Frame]) -> int:
    steps = np.diff(np.sort(distances_mm(frames)))
    return 1 + int(np.count_nonzero(steps > _SAME_POSITION_MM))


def distances_mm(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Return how far each frame lies along the normal of the first one, in mm.

    Frames without a position are told apart by their number alone.
    """
    first = frames[0]
    if first.orientation is None or any(frame.position_mm is None for frame in frames):
        return np.arange(len(frames), dtype=np.float64)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    return np.array([frame.position_mm for frame in frames], dtype=np.float64) @ normal


def _ordered(frames: list[Frame]) -> list[Frame]:
    # By position, not InstanceNumber: numbering need not follow anatomy.
    numbered = sorted(frames, key=lambda frame: (frame.instance_number, frame.number))
    order = np.argsort(distances_mm(numbered), kind="stable")
    return [numbered[index] for index in order]


def _list_order(series: Series) -> tuple[bool, str, str, int]:
    number = series.identity.series_number.zfill(8)
    return (series.kind != "ct", number, series.series_uid, series.part)
