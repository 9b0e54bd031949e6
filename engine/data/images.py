"""Read and write volumes and label maps as NIfTI, NRRD and MHA files."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from engine.data.nifti import read_nifti, read_nifti_header, write_nifti
from engine.data.plausibility import density_remarks, geometry_remarks
from engine.errors import IsletError
from engine.geometry import Geometry
from engine.volume import LabelMap, Remark, Volume

log = logging.getLogger(__name__)

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
_AIR_HU = -1024
# Labels that went through float arithmetic, e.g. 1.0000153, are whole numbers all the same.
LABEL_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Raw:
    values: NDArray[np.generic]
    geometry: Geometry
    num_volumes: int
    remarks: tuple[Remark, ...]


def is_image_file(path: Path) -> bool:
    """Return whether the name ends like a file that `read_image` reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_image(path: Path) -> Volume:
    """Read a CT volume from a NIfTI, NRRD or MHA file.

    What SimpleITK accepts without a word becomes a remark here: disagreeing or missing
    orientation, several volumes, values that are not Hounsfield units.

    Raises:
        IsletError: If the file is damaged, holds colours, or has an unknown suffix.
    """
    raw = _read(path)
    values, remarks = _as_hu(raw.values)
    if raw.num_volumes > 1:
        message = f"The file holds {raw.num_volumes} volumes; the first is shown."
        remarks.append(Remark(message, blocks_analysis=True))
    if raw.geometry.shape[0] == 1:
        remarks.append(Remark("The file holds a single slice.", blocks_analysis=True))
    remarks += [*geometry_remarks(raw.geometry), *density_remarks(values)]
    return Volume(voxels_hu=values, geometry=raw.geometry, remarks=(*raw.remarks, *remarks))


def read_labels(path: Path, names: Mapping[int, str]) -> LabelMap:
    """Read a label map.

    Args:
        path: A NIfTI, NRRD or MHA file of whole numbers, 0 to 255.
        names: Value to structure name.

    Raises:
        IsletError: If the values are no labels, or the file cannot be read.
    """
    raw = _read(path)
    if raw.num_volumes > 1:
        raise IsletError(
            f"The label file holds {raw.num_volumes} volumes.",
            remedy="Open a label file with one volume, where every structure has its own value.",
        )
    rounded = np.rint(raw.values)
    is_whole = bool(np.all(np.abs(raw.values - rounded) <= LABEL_TOLERANCE))
    if not is_whole or rounded.min() < 0 or rounded.max() > 255:
        raise IsletError(
            "The label file holds values other than whole numbers from 0 to 255.",
            remedy="Open a label map, not a picture or a probability map.",
        )
    return LabelMap(labels=rounded.astype(np.uint8), names=names, geometry=raw.geometry)


def read_values(path: Path) -> tuple[NDArray[np.generic], Geometry]:
    """Read an image file as it is, with values of whatever type.

    Raises:
        IsletError: If the file cannot be read, or holds several volumes.
    """
    raw = _read(path)
    if raw.num_volumes > 1:
        raise IsletError(
            f"The file holds {raw.num_volumes} volumes.", remedy="Save one volume of it."
        )
    return raw.values, raw.geometry


def read_grid(path: Path) -> Geometry:
    """Return the grid of an image file from its header alone.

    Raises:
        IsletError: If the header cannot be read.
    """
    if _suffix_of(path) in (".nii", ".nii.gz"):
        return read_nifti_header(path).geometry
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable() from error
    if reader.GetDimension() < 3:
        raise _unreadable()
    return _itk_geometry(
        reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
    )


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume with exactly its geometry; the file appears whole or not at all.

    Raises:
        IsletError: If the suffix is none of .nii, .nii.gz, .nrrd and .mha, or writing fails.
    """
    _write(volume.voxels_hu, volume.geometry, path)


def write_labels(labels: LabelMap, path: Path) -> None:
    """Write a label map with exactly its geometry; the file appears whole or not at all.

    Raises:
        IsletError: If the suffix is none of .nii, .nii.gz, .nrrd and .mha, or writing fails.
    """
    _write(labels.labels, labels.geometry, path)


def resample_labels(labels: LabelMap, geometry: Geometry) -> LabelMap:
    """Carry labels to another grid by physical space, each voxel taking the nearest label.

    Voxels outside the original grid become background.
    """
    if labels.geometry.is_same_as(geometry):
        return LabelMap(labels=labels.labels, names=labels.names, geometry=geometry)
    to_source = np.linalg.inv(labels.geometry.affine) @ geometry.affine
    # Rounding keeps voxels on the border from falling out by a last digit.
    moved = ndimage.affine_transform(
        labels.labels,
        np.round(to_source[:3, :3], 9),
        offset=np.round(to_source[:3, 3], 6),  # pyright: ignore[reportArgumentType]
        output_shape=geometry.shape,
        order=0,
        mode="grid-constant",
        cval=0,
    )
    return LabelMap(labels=np.asarray(moved, dtype=np.uint8), names=labels.names, geometry=geometry)


def _read(path: Path) -> _Raw:
    if not path.is_file():
        raise IsletError(
            "The image file does not exist.",
            remedy="Check the name, or choose the file in the open dialog.",
        )
    if _suffix_of(path) in (".nii", ".nii.gz"):
        header, values = read_nifti(path)
        return _Raw(values, header.geometry, header.num_volumes, header.remarks)
    return _read_itk(path)


def _suffix_of(path: Path) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise IsletError(
        "The file has no suffix of an image that Islet reads.",
        remedy=f"Open a DICOM folder or a file ending in {', '.join(SUFFIXES)}.",
    )


def _read_itk(path: Path) -> _Raw:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable() from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise IsletError(
            "The file holds colours or vectors, not densities.",
            remedy="Open a file with a single CT volume in it.",
        )
    if image.GetDimension() not in (3, 4):
        raise _unreadable()
    num_volumes = image.GetSize()[3] if image.GetDimension() == 4 else 1
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    geometry = _itk_geometry(
        image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    )
    values = sitk.GetArrayFromImage(image)
    return _Raw(values, geometry, num_volumes, _itk_remarks(path, image))


def _itk_geometry(
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    direction: tuple[float, ...],
) -> Geometry:
    dimension = len(size)
    axes = np.reshape(direction, (dimension, dimension))[:3, :3] * np.asarray(spacing[:3])
    affine = np.eye(4)
    affine[:3, :3] = axes[:, ::-1]
    affine[:3, 3] = origin[:3]
    try:
        return Geometry(shape=(size[2], size[1], size[0]), affine=affine)
    except ValueError as error:
        raise _unreadable() from error


def _itk_remarks(path: Path, image: sitk.Image) -> tuple[Remark, ...]:
    """Remark where ITK assumed an orientation that the file does not state."""
    with path.open("rb") as file:
        head = file.read(4096)
    if path.name.lower().endswith((".nrrd", ".nhdr")):
        space = image.GetMetaData("NRRD_space") if image.HasMetaDataKey("NRRD_space") else ""
        is_stated = b"space directions:" in head and space.startswith(("left", "right"))
    else:
        is_stated = re.search(rb"^(TransformMatrix|Rotation|Orientation)\b", head, re.M) is not None
    if is_stated:
        return ()
    message = "The file does not say how its voxels lie in the patient; left and right are a guess."
    return (Remark(message, blocks_analysis=True),)


def _as_hu(
    values: NDArray[np.generic],
) -> tuple[NDArray[np.int16] | NDArray[np.float32], list[Remark]]:
    remarks: list[Remark] = []
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        is_known = np.isfinite(values)
        remarks.append(
            Remark(
                f"{np.count_nonzero(~is_known)} voxels have no value; they are shown as air.",
                blocks_analysis=True,
            )
        )
        values = np.where(is_known, values, values.dtype.type(_AIR_HU))
    limits = np.iinfo(np.int16)
    fits = values.min() >= limits.min and values.max() <= limits.max
    if fits and (values.dtype.kind in "iu" or bool(np.all(values == np.rint(values)))):
        return values.astype(np.int16), remarks
    return values.astype(np.float32), remarks


def _write(array: NDArray[np.generic], geometry: Geometry, path: Path) -> None:
    suffix = _suffix_of(path)
    if suffix not in _WRITABLE:
        raise IsletError(
            f"Islet does not write {suffix} files.",
            remedy=f"Choose a name ending in {', '.join(_WRITABLE)}.",
        )
    save: Callable[[NDArray[np.generic], Geometry, Path], None]
    save = write_nifti if suffix in (".nii", ".nii.gz") else _write_itk
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".islet-") as folder:
            whole = Path(folder) / f"whole{suffix}"
            save(array, geometry, whole)
            whole.replace(path)
    except (OSError, RuntimeError) as error:
        raise IsletError(
            "The file could not be written.",
            remedy="Check that the folder exists, is writable and has space left.",
        ) from error


def _write_itk(array: NDArray[np.generic], geometry: Geometry, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(geometry.affine[:3, 3].tolist())
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def _unreadable() -> IsletError:
    return IsletError(
        "The image file is damaged, cut short or of an unknown kind.",
        remedy="Copy or convert it again from the original and open the new file.",
    )
