"""Write a case as a DICOM CT series that any viewer or archive accepts."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from engine.case import Case
from engine.errors import IsletError
from engine.progress import OnProgress, ignore_progress

_INTERCEPT_HU = -1024
_CONTRAST_PHASES = ("arterial", "venous")


def write_dicom(case: Case, folder: Path, on_progress: OnProgress = ignore_progress) -> None:
    """Write a case's volume as one CT series, one file for each slice.

    Uncompressed, explicit VR little endian. Any orientation of the grid is kept. UIDs
    follow from the case, so that writing it again gives the same files.

    Args:
        case: What to write; voxels are rounded to whole HU.
        folder: Made where it does not exist; must hold no files.
        on_progress: Told the fraction of slices written.

    Raises:
        IsletError: If the folder holds files already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise IsletError(
                "The folder for the DICOM series is not empty.",
                remedy="Choose a new or empty folder.",
            )
        _write_slices(case, folder, on_progress)
    except OSError as error:
        raise IsletError(
            "The DICOM series could not be written.",
            remedy="Check that the disk has space and that the folder may be written to.",
        ) from error


def _write_slices(case: Case, folder: Path, on_progress: OnProgress) -> None:
    stored = _stored_values(case)
    stem = _uid_stem(case)
    common = _series_attributes(case, stem)
    num_slices = len(stored)
    for index in range(num_slices):
        picture = _slice_attributes(case, stored[index], index, stem)
        dataset = Dataset()
        dataset.file_meta = _file_meta(picture)
        dataset.update(common)
        dataset.update(picture)
        dataset.save_as(folder / f"CT.{index + 1:04d}.dcm", enforce_file_format=True)
        on_progress("write", (index + 1) / num_slices)


def _stored_values(case: Case) -> NDArray[np.int16]:
    limits = np.iinfo(np.int16)
    shifted = np.rint(case.volume.voxels_hu.astype(np.float32)) - _INTERCEPT_HU
    return np.clip(shifted, limits.min, limits.max).astype("<i2")


def _series_attributes(case: Case, stem: str) -> Dataset:
    dataset = Dataset()
    _add_patient(dataset, case, stem)
    _add_series(dataset, case, stem)
    _add_acquisition(dataset, case)
    return dataset


def _add_patient(dataset: Dataset, case: Case, stem: str) -> None:
    identity = case.identity
    date = identity.study_date or "20260101"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = identity.patient_name or "PHANTOM"
    dataset.PatientID = identity.patient_id or "PHANTOM"
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex if identity.sex in ("M", "F", "O") else ""
    dataset.StudyInstanceUID = _uid(stem, "study")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = date
    dataset.StudyTime = dataset.SeriesTime = "080000"
    dataset.AcquisitionTime = dataset.ContentTime = "080000"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.StudyDescription = identity.study_description


def _add_series(dataset: Dataset, case: Case, stem: str) -> None:
    identity = case.identity
    dataset.SOPClassUID = CTImageStorage
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = _uid(stem, "series")
    dataset.SeriesNumber = identity.series_number or "1"
    dataset.SeriesDescription = identity.series_description or (case.phase or "")
    dataset.FrameOfReferenceUID = _uid(stem, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer = "Islet"
    dataset.ManufacturerModelName = "Phantom"
    dataset.SoftwareVersions = "0.1"
    dataset.BurnedInAnnotation = "NO"
    # A made image must never pass for a patient's.
    dataset.ImageComments = "Made by a program. Not a patient."


def _add_acquisition(dataset: Dataset, case: Case) -> None:
    row_mm, column_mm = case.volume.geometry.spacing_mm[1:]
    spacing_mm = _slice_spacing_mm(case)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.AcquisitionNumber = "1"
    dataset.KVP = "120"
    dataset.ConvolutionKernel = case.identity.acquisition.split(" ")[-1].upper() or "STANDARD"
    dataset.SliceThickness = _decimal(spacing_mm)
    dataset.SpacingBetweenSlices = _decimal(spacing_mm)
    dataset.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    dataset.ImageOrientationPatient = [_decimal(v) for v in _orientation(case)]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = case.volume.geometry.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = str(_INTERCEPT_HU)
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    width, centre = case.window or (400.0, 50.0)
    dataset.WindowWidth, dataset.WindowCenter = _decimal(width), _decimal(centre)
    if case.phase in _CONTRAST_PHASES:
        dataset.ContrastBolusAgent = "IODINE"


def _slice_attributes(case: Case, stored: NDArray[np.int16], index: int, stem: str) -> Dataset:
    dataset = Dataset()
    corner_mm = case.volume.geometry.to_patient([[index, 0, 0]])[0]
    dataset.SOPInstanceUID = _uid(stem, f"slice {index}")
    dataset.InstanceNumber = str(index + 1)
    dataset.ImagePositionPatient = [_decimal(value) for value in corner_mm]
    normal = np.cross(_orientation(case)[:3], _orientation(case)[3:])
    dataset.SliceLocation = _decimal(float(corner_mm @ normal))
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _file_meta(picture: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = picture.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def _orientation(case: Case) -> NDArray[np.float64]:
    """Direction of growing columns, then of growing rows, as DICOM orders them."""
    direction = case.volume.geometry.direction
    return np.concatenate([direction[:, 2], direction[:, 1]])


def _slice_spacing_mm(case: Case) -> float:
    orientation = _orientation(case)
    normal = np.cross(orientation[:3], orientation[3:])
    return abs(float(case.volume.geometry.affine[:3, 0] @ normal))


def _uid_stem(case: Case) -> str:
    voxels = zlib.crc32(np.ascontiguousarray(case.volume.voxels_hu).tobytes())
    return f"{case.case_id} {voxels} {case.volume.geometry.affine.tobytes().hex()}"


def _uid(stem: str, part: str) -> str:
    return generate_uid(entropy_srcs=[stem, part])


def _decimal(value: float) -> str:
    return format_number_as_ds(float(np.float64(value)) + 0.0)
