"""Find what can be opened below a path, and open it as a case."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.case import Case, Identity
from engine.data.dicom import (
    Series,
    find_series,
    find_series_of,
    read_middle_slice,
    read_volume,
)
from engine.data.dicom_headers import looks_like_dicom
from engine.data.images import is_image_file, read_grid, read_image
from engine.data.phase import guess_phase
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress
from engine.volume import Volume

log = logging.getLogger(__name__)

# Ours: how label maps are usually named; they are listed, but never opened as the CT.
_LABEL_WORDS = ("label", "seg", "mask", "totalseg", "_gt")


@dataclass(frozen=True, slots=True)
class Source:
    """Something that can be opened: a DICOM series or an image file.

    Args:
        path: The folder that holds the series, or the image file.
        title: What to call it in a list.
        kind: "ct", "localiser", "secondary", "other" or "labels".
        modality: DICOM modality; "CT" is assumed of image files.
        num_slices: Number of slices.
        slice_spacing_mm: Distance between slices, where known.
        series: The DICOM series; None for an image file.
    """

    path: Path
    title: str
    kind: str
    modality: str
    num_slices: int
    slice_spacing_mm: float | None
    series: Series | None = None


def find_sources(path: Path, on_progress: OnProgress = ignore_progress) -> tuple[Source, ...]:
    """List what can be opened at `path`: a folder, an image file or one slice of a series.

    Raises:
        IsletError: If nothing can be opened.
    """
    if not path.exists():
        raise IsletError(
            "The file or folder does not exist.",
            remedy="Check the name, or choose it in the open dialog.",
        )
    if path.is_file():
        return _of_file(path, on_progress)
    images = [found for found in sorted(path.rglob("*")) if is_image_file(found)]
    sources = [source for image in images if (source := _of_readable_image(image)) is not None]
    try:
        series = find_series(path, on_progress)
    except IsletError:
        if not sources:
            raise
        series = ()
    return (*(_of_series(each) for each in series), *sources)


def best_source(sources: Sequence[Source]) -> Source:
    """Return the CT with the most slices.

    Raises:
        IsletError: If there is no CT among them.
    """
    volumes = [source for source in sources if source.kind == "ct"]
    if not volumes:
        raise IsletError(
            "There is no CT among the series found.",
            remedy="Choose a folder with a CT, or pick another series from the list.",
        )
    return max(volumes, key=lambda source: source.num_slices)


def read_case(source: Source, on_progress: OnProgress = ignore_progress) -> Case:
    """Read the volume of `source` and everything known about it.

    Raises:
        IsletError: If it cannot be read.
        CancelledError: If `on_progress` raises it.
    """
    case_id = _case_id(source)
    if source.series is None:
        on_progress("Reading the image", 0.0)
        volume = read_image(source.path)
        on_progress("Reading the image", 1.0)
        identity = Identity(series_description=source.title)
        return Case(case_id, volume, phase=guess_phase(source.title), identity=identity)
    series = source.series
    return Case(
        case_id=case_id,
        volume=read_volume(series, on_progress),
        phase=series.phase,
        identity=series.identity,
        window=series.window,
    )


def first_look(source: Source) -> Volume | None:
    """Return the middle slice, to show while the rest is read; None where that gains nothing.

    Raises:
        IsletError: If the slice cannot be read.
    """
    return None if source.series is None else read_middle_slice(source.series)


def _of_file(path: Path, on_progress: OnProgress) -> tuple[Source, ...]:
    if is_image_file(path):
        return (_of_image(path),)
    if not looks_like_dicom(path):
        raise IsletError(
            "The file is neither DICOM nor an image that Islet reads.",
            remedy="Open a DICOM folder, or a NIfTI, NRRD or MHA file.",
        )
    # One slice stands for its series: readers click on a slice to open them all.
    return tuple(_of_series(each) for each in find_series_of(path, on_progress))


def _of_series(series: Series) -> Source:
    identity = series.identity
    words = (identity.series_number, identity.series_description or series.modality)
    part = f"(part {series.part})" if series.part else ""
    return Source(
        path=series.files[0].parent,
        title=" ".join(word for word in (*words, part) if word),
        kind=series.kind,
        modality=series.modality,
        num_slices=series.num_slices,
        slice_spacing_mm=series.slice_spacing_mm,
        series=series,
    )


def _of_image(path: Path) -> Source:
    geometry = read_grid(path)
    name = path.name.lower()
    return Source(
        path=path,
        title=path.name,
        kind="labels" if any(word in name for word in _LABEL_WORDS) else "ct",
        modality="CT",
        num_slices=geometry.shape[0],
        slice_spacing_mm=geometry.spacing_mm[0],
    )


def _of_readable_image(path: Path) -> Source | None:
    try:
        return _of_image(path)
    except IsletError:
        log.warning("Left out an image file whose header cannot be read")
        return None


def _case_id(source: Source) -> str:
    """Name the case by a digest, so that neither logs nor results tell who it is."""
    series = source.series
    if series is not None and series.series_uid:
        content = f"{series.series_uid} {series.part}".encode()
    else:
        path = source.path if series is None else series.files[0]
        with path.open("rb") as file:
            content = file.read(1 << 20)
    return f"case-{hashlib.sha256(content).hexdigest()[:12]}"
