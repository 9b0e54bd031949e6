"""Read what a DICOM file says about its pictures, without decoding them."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MRImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
)

from engine.case import Identity
from engine.data.phase import guess_phase

# What pydicom raises on a damaged file; found by feeding it cut and scrambled files.
BROKEN_FILE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_IMAGE_CLASSES = (
    *("", *_CT_CLASSES, MRImageStorage, EnhancedMRImageStorage),
    *(PositronEmissionTomographyImageStorage, NuclearMedicineImageStorage),
)

_TAGS = [
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "StudyDate"),
    *("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "Modality", "StudyDescription"),
    *("SeriesDescription", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("ContrastBolusAgent", "SliceThickness", "KVP", "XRayTubeCurrent", "ConvolutionKernel"),
    *("ProtocolName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"),
    *("AcquisitionNumber", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient"),
    *("TemporalPositionIdentifier", "SamplesPerPixel", "PhotometricInterpretation"),
    *("NumberOfFrames", "Rows", "Columns", "PixelSpacing", "PixelAspectRatio", "WindowCenter"),
    *("WindowWidth", "RescaleIntercept", "RescaleSlope", "RescaleType"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a DICOM file, as its header describes it.

    Args:
        path: The file.
        number: Which picture of the file, from 0.
        instance_number: The position in the series as numbered by the scanner.
        shape: Number of (rows, columns).
        position_mm: (x, y, z) LPS of the centre of the first pixel.
        orientation: Unit vectors LPS along the columns index, then along the rows index.
        pixel_spacing_mm: Distance between neighbouring (rows, columns).
        thickness_mm: Nominal slice thickness.
        rescale: (slope, intercept) from stored value to HU.
        rescale_type: What the rescaled values are, e.g. "HU".
        image_type: The frame's or file's ImageType in capitals.
        moments: What tells phases apart: temporal position, acquisition, kernel, times.
    """

    path: Path
    number: int
    instance_number: int
    shape: tuple[int, int]
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    rescale: tuple[float, float] | None
    rescale_type: str
    image_type: tuple[str, ...]
    moments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What one DICOM file says about itself; `frames` is empty where it holds no picture."""

    path: Path
    sop_class_uid: str
    study_uid: str
    series_uid: str
    modality: str
    samples_per_pixel: int
    photometric: str
    identity: Identity
    window: tuple[float, float] | None
    phase: str | None
    frames: tuple[Frame, ...]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings about odd values: what matters becomes a remark."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def looks_like_dicom(path: Path) -> bool:
    """Return whether the first bytes are those of a DICOM file, with or without preamble."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:] == b"DICM" or _starts_with_a_tag(head)


def _starts_with_a_tag(head: bytes) -> bool:
    # Without preamble a data set begins with group 2 or 8, then a VR or a small length.
    if len(head) < 12 or head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    has_vr = head[4:6].isalpha() and head[4:6].isupper()
    return has_vr or (head[:1] != b"\x00" and struct.unpack("<I", head[4:8])[0] < 1024)


def read_header(path: Path) -> Header | None:
    """Read the header of one file.

    Returns:
        None where the file begins like DICOM but cannot be read.
    """
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        header = _header_of(dataset, path)
    except BROKEN_FILE:
        return None
    # A file cut inside its header parses, but lacks what stands behind the cut.
    return header if header.modality and (header.frames or _needs_no_frames(header)) else None


def _needs_no_frames(header: Header) -> bool:
    # Raw data and private files of a CT scanner have modality CT, yet no picture.
    return header.sop_class_uid not in _IMAGE_CLASSES


def _header_of(dataset: Dataset, path: Path) -> Header:
    return Header(
        path=path,
        sop_class_uid=text(dataset, "SOPClassUID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        modality=_modality(dataset),
        samples_per_pixel=_integer(dataset, "SamplesPerPixel") or 1,
        photometric=text(dataset, "PhotometricInterpretation").upper(),
        identity=_identity(dataset),
        window=_window(dataset),
        phase=guess_phase(
            text(dataset, "SeriesDescription"),
            text(dataset, "ProtocolName"),
            text(dataset, "StudyDescription"),
        ),
        frames=_frames(dataset, path),
    )


def _modality(dataset: Dataset) -> str:
    is_ct = text(dataset, "SOPClassUID") in _CT_CLASSES
    return text(dataset, "Modality").upper() or ("CT" if is_ct else "")


def _frames(dataset: Dataset, path: Path) -> tuple[Frame, ...]:
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if not rows or not columns:
        return ()
    per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = _items(dataset, "SharedFunctionalGroupsSequence")
    if not per_frame and not shared:
        count = _integer(dataset, "NumberOfFrames") or 1
        return tuple(_frame(_Groups((dataset,)), path, n, (rows, columns)) for n in range(count))
    return tuple(
        _frame(_Groups((own, *shared[:1], dataset)), path, number, (rows, columns))
        for number, own in enumerate(per_frame)
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Where the facts of one frame stand: its own groups, the shared ones, the file."""

    levels: tuple[Dataset, ...]

    def holder(self, keyword: str, sequence: str) -> Dataset:
        """Return the first level that states `keyword`, directly or inside `sequence`."""
        for level in self.levels:
            for candidate in (*_items(level, sequence)[:1], level):
                if value(candidate, keyword) not in (None, ""):
                    return candidate
        return self.levels[-1]

    def numbers(self, keyword: str, sequence: str, count: int) -> tuple[float, ...] | None:
        return _numbers(self.holder(keyword, sequence), keyword, count)

    def text(self, keyword: str, sequence: str) -> str:
        return text(self.holder(keyword, sequence), keyword)


def _frame(groups: _Groups, path: Path, number: int, shape: tuple[int, int]) -> Frame:
    slope = groups.numbers("RescaleSlope", "PixelValueTransformationSequence", 1)
    intercept = groups.numbers("RescaleIntercept", "PixelValueTransformationSequence", 1)
    thickness = groups.numbers("SliceThickness", "PixelMeasuresSequence", 1)
    kind = "FrameType" if _items(groups.levels[0], "CTImageFrameTypeSequence") else "ImageType"
    image_type = groups.text(kind, "CTImageFrameTypeSequence") or groups.text("ImageType", "")
    return Frame(
        path=path,
        number=number,
        instance_number=_integer(groups.levels[-1], "InstanceNumber") or 0,
        shape=shape,
        position_mm=groups.numbers("ImagePositionPatient", "PlanePositionSequence", 3),
        orientation=groups.numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6),
        pixel_spacing_mm=_positive(groups.numbers("PixelSpacing", "PixelMeasuresSequence", 2)),
        thickness_mm=thickness[0] if thickness else None,
        rescale=(slope[0], intercept[0]) if slope and slope[0] and intercept else None,
        rescale_type=groups.text("RescaleType", "PixelValueTransformationSequence").upper(),
        image_type=tuple(part.strip().upper() for part in image_type.split("\\")),
        moments=_moments(groups),
    )


def _moments(groups: _Groups) -> tuple[str, ...]:
    dataset = groups.levels[-1]
    return (
        text(dataset, "TemporalPositionIdentifier")
        or groups.text("TemporalPositionIndex", "FrameContentSequence"),
        text(dataset, "AcquisitionNumber")
        or groups.text("FrameAcquisitionNumber", "FrameContentSequence"),
        text(dataset, "ConvolutionKernel"),
        text(dataset, "ImageType"),
        text(dataset, "ContentTime"),
        text(dataset, "AcquisitionTime") or text(dataset, "AcquisitionDateTime"),
    )


def _identity(dataset: Dataset) -> Identity:
    name = value(dataset, "PatientName")
    parts = [part for part in str(name or "").split("=")[0].split("^")[:2] if part.strip()]
    return Identity(
        patient_name=", ".join(part.strip() for part in parts),
        patient_id=text(dataset, "PatientID"),
        birth_date=_iso_date(text(dataset, "PatientBirthDate")),
        sex=text(dataset, "PatientSex"),
        study_date=_iso_date(text(dataset, "StudyDate")),
        study_description=text(dataset, "StudyDescription"),
        series_description=text(dataset, "SeriesDescription"),
        series_number=text(dataset, "SeriesNumber"),
        acquisition=_acquisition(dataset),
    )


def _acquisition(dataset: Dataset) -> str:
    facts = (
        (text(dataset, "KVP"), "{} kVp"),
        (text(dataset, "XRayTubeCurrent"), "{} mA"),
        (text(dataset, "ConvolutionKernel").split("\\")[0], "{}"),
        (text(dataset, "SliceThickness"), "{} mm"),
        (text(dataset, "ContrastBolusAgent"), "contrast {}"),
    )
    return ", ".join(form.format(fact) for fact, form in facts if fact)


def _iso_date(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def _window(dataset: Dataset) -> tuple[float, float] | None:
    width, centre = _numbers(dataset, "WindowWidth", 1), _numbers(dataset, "WindowCenter", 1)
    return (width[0], centre[0]) if width and centre and width[0] >= 1 else None


def value(dataset: Dataset, keyword: str) -> Any:
    """Return the element's value, or None where it is missing or cannot be read."""
    try:
        return dataset.get(keyword)
    except BROKEN_FILE:
        return None


def text(dataset: Dataset, keyword: str) -> str:
    r"""Return the element as text, several values joined by a backslash; empty where missing."""
    found = value(dataset, keyword)
    if found is None:
        return ""
    parts = found if isinstance(found, MultiValue) else [found]
    return "\\".join(str(part) for part in parts).strip()


def _integer(dataset: Dataset, keyword: str) -> int | None:
    numbers = _numbers(dataset, keyword, 1)
    return int(numbers[0]) if numbers else None


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    found = value(dataset, keyword)
    parts = list(found) if isinstance(found, MultiValue) else [found]
    try:
        numbers = tuple(float(part) for part in parts[:count])
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _positive(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return numbers if numbers and min(numbers) > 0 else None


def _items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    found = value(dataset, keyword) if keyword else None
    return tuple(found) if isinstance(found, pydicom.Sequence) else ()
