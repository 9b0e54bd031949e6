"""One asymmetric phantom, sampled on any grid, as DICOM series and image files.

A letter F on the right, a sphere on the left, a cube in front, in a body of water-like
density in air. Edges are linear ramps, so that sums over voxels give volumes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from engine.geometry import Geometry
from engine.volume import Volume

SHAPE = (40, 64, 56)
AIR, BODY, SPHERE, LETTER, CUBE = -1000, 40, 140, 400, 800
SPHERE_CENTRE = np.array([18.0, 6.0, 4.0])
SPHERE_RADIUS = 14.0
CUBE_CENTRE = np.array([2.0, -24.0, -4.0])
_CUBE_HALF = 8.0
_RAMP = 2.0
# Boxes (lower, upper) of the letter F; its bars point to patient left.
_LETTER = (
    ((-26.0, -4.0, -22.0), (-20.0, 6.0, 22.0)),
    ((-26.0, -4.0, 16.0), (-6.0, 6.0, 22.0)),
    ((-26.0, -4.0, 1.0), (-10.0, 6.0, 7.0)),
)
# A point in each stroke, and points where a mirrored letter would have ink.
_INK = ((-23.0, 1.0, -14.0), (-9.0, 1.0, 19.0), (-13.0, 1.0, 4.0))
_PAPER = ((-13.0, 1.0, -19.0), (-15.0, 1.0, -8.0), (-12.0, 1.0, 11.0))
# Of a ball with a linear ramp of half width w: 4/3 pi (R^3 + R w^2).
SPHERE_ML = 4 / 3 * np.pi * (SPHERE_RADIUS**3 + SPHERE_RADIUS * _RAMP**2) / 1000

SERIES_UID = "1.2.826.0.1.3680043.8.498.1"
STUDY_UID = "1.2.826.0.1.3680043.8.498.2"


def geometry_of(
    direction: Iterable[Iterable[float]] = ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    spacing_mm: tuple[float, float, float] = (2.5, 1.5, 1.5),
    shape: tuple[int, int, int] = SHAPE,
) -> Geometry:
    """Return a grid centred on the origin; `direction` holds slice, row and column axes, LPS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(list(direction), dtype=float).T * spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(shape=shape, affine=affine)


def turned(degrees: float) -> Geometry:
    """Return a right-angled grid, turned about the patient's x axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return geometry_of(((0, -sine, cosine), (0, cosine, sine), (1, 0, 0)))


def tilted(degrees: float) -> Geometry:
    """Return the skewed grid of a gantry tilted about x, the table moving along z."""
    tilt = np.radians(degrees)
    return geometry_of(((0, 0, 1), (0, np.cos(tilt), np.sin(tilt)), (1, 0, 0)))


GRIDS = {
    "identity": geometry_of(),
    "ras": geometry_of(((0, 0, 1), (0, -1, 0), (-1, 0, 0))),
    "flipped_z": geometry_of(((0, 0, -1), (0, -1, 0), (1, 0, 0))),
    "oblique_20": turned(20),
    "non_square": geometry_of(spacing_mm=(2.5, 1.2, 1.7), shape=(40, 80, 50)),
    "coronal": geometry_of(((0, 1, 0), (0, 0, -1), (1, 0, 0)), (1.5, 1.5, 1.5), (64, 70, 56)),
    "tilt_15": tilted(15),
}
# DICOM stacks are right-handed by definition; images need not be.
LEFT_HANDED = geometry_of(((0, 0, -1), (0, 1, 0), (1, 0, 0)))


@cache
def phantom(geometry: Geometry) -> np.ndarray:
    """Sample the phantom on a grid: (slices, rows, columns), int16 HU."""
    index = np.stack(np.indices(geometry.shape), axis=-1).reshape(-1, 3)
    points = geometry.to_patient(index)
    hu = np.full(len(points), float(AIR))
    hu = _blend(hu, BODY, 40.0 - np.linalg.norm(points[:, :2] / [1.0, 1.15], axis=1))
    hu = _blend(hu, SPHERE, SPHERE_RADIUS - np.linalg.norm(points - SPHERE_CENTRE, axis=1))
    hu = _blend(hu, CUBE, _CUBE_HALF - np.abs(points - CUBE_CENTRE).max(axis=1))
    strokes = [_inside_box(points, np.array(low), np.array(high)) for low, high in _LETTER]
    hu = _blend(hu, LETTER, np.max(strokes, axis=0))
    return np.round(hu).astype(np.int16).reshape(geometry.shape)


def _inside_box(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.minimum(points - low, high - points).min(axis=1)


def _blend(hu: np.ndarray, value: float, depth_mm: np.ndarray) -> np.ndarray:
    share = np.clip(0.5 + depth_mm / (2 * _RAMP), 0, 1)
    return hu * (1 - share) + value * share


def check_phantom(volume: Volume) -> None:
    """Assert that every part lies where it is in the patient, with its size and density."""
    grid, voxels = volume.geometry, np.asarray(volume.voxels_hu, dtype=np.float64)
    index = np.stack(np.indices(grid.shape), axis=-1).reshape(-1, 3)
    points, hu = grid.to_patient(index), voxels.ravel()
    sphere = np.median(points[np.abs(hu - SPHERE) < 1], axis=0)
    assert sphere[0] > 10, "left is not left"
    np.testing.assert_allclose(sphere, SPHERE_CENTRE, atol=1.0)
    cube = points[hu > CUBE - 10].mean(axis=0)
    assert cube[1] < -15, "front is not front"
    np.testing.assert_allclose(cube, CUBE_CENTRE, atol=1.3)
    distance = np.linalg.norm(points - SPHERE_CENTRE, axis=1)
    near = hu[distance < SPHERE_RADIUS + 1.8 * _RAMP]
    ml = ((near - BODY) / (SPHERE - BODY)).sum() * grid.voxel_volume_mm3 / 1000
    assert abs(ml / SPHERE_ML - 1) < 0.005
    assert abs(hu[distance < SPHERE_RADIUS - 2 * _RAMP].mean() - SPHERE) < 0.1
    assert all(value_at(volume, point) > 300 for point in _INK)
    assert all(value_at(volume, point) < 100 for point in _PAPER)


def value_at(volume: Volume, position_mm: Iterable[float]) -> float:
    """Return the HU of the voxel nearest to a patient position."""
    index = np.rint(volume.geometry.to_index([list(position_mm)])[0]).astype(int)
    return float(volume.voxels_hu[tuple(index)])


def slice_dataset(geometry: Geometry, voxels: np.ndarray, number: int) -> Dataset:
    """Return slice `number` as a valid CT Image, stored values = HU + 1024."""
    dataset = _common(geometry, CTImageStorage)
    dataset.SOPInstanceUID = generate_uid()
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = _decimals(geometry.to_patient([[number, 0, 0]])[0])
    dataset.ImageOrientationPatient = _decimals(_orientation(geometry))
    dataset.PixelSpacing = _decimals(geometry.spacing_mm[1:])
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    dataset.PixelData = (voxels[number] + 1024).astype("<u2").tobytes()
    _add_meta(dataset)
    return dataset


def write_series(
    folder: Path,
    geometry: Geometry,
    *,
    numbers: Iterable[int] | None = None,
    edit: Callable[[Dataset, int], None] | None = None,
    syntax: str | None = None,
    descending: bool = False,
) -> Path:
    """Write the phantom as single slices.

    Args:
        folder: Created where missing.
        geometry: The grid; a skewed slice axis makes a tilted gantry.
        numbers: Which slices, all where None; repeat one for a duplicate.
        edit: Changes each data set before it is written.
        syntax: Transfer syntax to compress to.
        descending: Whether file names and instance numbers run against the positions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voxels = phantom(geometry)
    wanted = list(range(geometry.shape[0]) if numbers is None else numbers)
    for place, number in enumerate(wanted):
        dataset = slice_dataset(geometry, voxels, number)
        dataset.InstanceNumber = (len(wanted) - place) if descending else place + 1
        if edit is not None:
            edit(dataset, number)
        if syntax is not None:
            dataset.compress(syntax)
        name = f"IM{dataset.InstanceNumber:04d}"
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder


def write_enhanced(
    folder: Path, geometry: Geometry, *, order: Iterable[int] | None = None, syntax: str = ""
) -> Path:
    """Write the phantom as one enhanced multi-frame CT, its frames in the given order."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = phantom(geometry)
    frames = list(range(geometry.shape[0]) if order is None else order)
    dataset = _common(geometry, EnhancedCTImageStorage)
    dataset.SOPInstanceUID = generate_uid()
    dataset.InstanceNumber = 1
    dataset.NumberOfFrames = len(frames)
    del dataset.SliceThickness
    dataset.SharedFunctionalGroupsSequence = Sequence([_shared_groups(geometry)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame_groups(geometry, number) for number in frames]
    )
    dataset.PixelData = (voxels[frames] + 1024).astype("<u2").tobytes()
    _add_meta(dataset)
    if syntax:
        dataset.compress(syntax)
    dataset.save_as(folder / "enhanced", enforce_file_format=True)
    return folder


def _shared_groups(geometry: Geometry) -> Dataset:
    measures, orientation, transform, kind = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = _decimals(geometry.spacing_mm[1:])
    measures.SliceThickness = "2.5"
    orientation.ImageOrientationPatient = _decimals(_orientation(geometry))
    transform.RescaleIntercept, transform.RescaleSlope = "-1024", "1"
    transform.RescaleType = "HU"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([transform])
    shared.CTImageFrameTypeSequence = Sequence([kind])
    return shared


def _frame_groups(geometry: Geometry, number: int) -> Dataset:
    position, content, groups = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = _decimals(geometry.to_patient([[number, 0, 0]])[0])
    content.DimensionIndexValues = [1, number + 1]
    groups.PlanePositionSequence = Sequence([position])
    groups.FrameContentSequence = Sequence([content])
    return groups


def _common(geometry: Geometry, sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "Phantom^Letter", "F-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "O"
    dataset.StudyDate, dataset.SeriesNumber = "20240506", "3"
    dataset.SeriesDescription, dataset.KVP = "Abdomen portal venous", "120"
    dataset.AcquisitionNumber = "1"
    dataset.SliceThickness = "2.5"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = geometry.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = "50", "400"
    return dataset


def _add_meta(dataset: Dataset) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _orientation(geometry: Geometry) -> np.ndarray:
    return np.concatenate([geometry.direction[:, 2], geometry.direction[:, 1]])


def _decimals(numbers: Iterable[float]) -> list[str]:
    return [f"{number:.10g}"[:16] for number in numbers]


def write_image(
    path: Path, geometry: Geometry, voxels: np.ndarray | None = None, *, big_endian: bool = False
) -> Path:
    """Write the phantom, or `voxels`, through SimpleITK, which states sform and qform."""
    array = phantom(geometry) if voxels is None else voxels
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.affine[:3, 3].tolist())
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, str(path))
    if big_endian:
        swap_bytes(path, array.dtype.itemsize)
    return path


# The fields of a NIfTI-1 header, in order; what this file writes is read back by nobody's code.
NIFTI1 = "i 10s 18s i h c B 8h 3f h h h h 8f f f f h c B 4f 2i 80s 24s 2h 6f 12f 16s 4s"


def swap_bytes(path: Path, itemsize: int) -> None:
    """Turn a little-endian NIfTI-1 file into a big-endian one."""
    content = path.read_bytes()
    form = NIFTI1.replace(" ", "")
    fields = struct.unpack("<" + form, content[:348])
    start = int(struct.unpack_from("<f", content, 108)[0])
    data = np.frombuffer(content[start:], dtype=f"<u{itemsize}").byteswap().tobytes()
    path.write_bytes(struct.pack(">" + form, *fields) + content[348:start] + data)


def patch(path: Path, offset: int, form: str, *values: float) -> None:
    """Overwrite header fields of an uncompressed file."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + form, content, offset, *values)
    path.write_bytes(content)


def write_nifti2(path: Path, geometry: Geometry) -> Path:
    """Write the phantom as NIfTI-2 with an sform alone."""
    affine = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine)[:, [2, 1, 0, 3]]
    head = bytearray(544)
    struct.pack_into("<i8s2h", head, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)
    struct.pack_into("<8q", head, 16, 3, *geometry.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<8d", head, 104, 1, *geometry.spacing_mm[::-1], 0, 0, 0, 0)
    struct.pack_into("<q2d", head, 168, 544, 1, 0)
    struct.pack_into("<2i", head, 344, 0, 1)
    struct.pack_into("<12d", head, 400, *affine[:3].ravel())
    struct.pack_into("<i", head, 500, 2)
    path.write_bytes(bytes(head) + phantom(geometry).astype("<i2").tobytes())
    return path
