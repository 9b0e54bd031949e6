"""Read and write NIfTI-1 and NIfTI-2 files, checking what their headers say."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import IsletError
from engine.geometry import Geometry
from engine.volume import Remark

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DTYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"},
    **{256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
_COLOUR = (128, 2304)
# Ours: no CT comes near this; a header that says so is damaged.
_MAX_VOXELS = 1 << 33
_UNIT_TO_MM = {1: 1000.0, 3: 0.001}
_CODES = {"u1": 2, "i2": 4, "f4": 16}
# Byte offset and type of each header field that matters here.
_NIFTI1 = {
    **{"dim": (40, "8h"), "datatype": (70, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f")},
    **{"scaling": (112, "2f"), "xyzt_units": (123, "B"), "codes": (252, "2h")},
    **{"quatern": (256, "6f"), "sform": (280, "12f")},
}
_NIFTI2 = {
    **{"dim": (16, "8q"), "datatype": (12, "h"), "pixdim": (104, "8d"), "vox_offset": (168, "q")},
    **{"scaling": (176, "2d"), "xyzt_units": (500, "i"), "codes": (344, "2i")},
    **{"quatern": (352, "6d"), "sform": (400, "12d")},
}
_LAYOUTS = {348: (_NIFTI1, 348), 540: (_NIFTI2, 540)}


@dataclass(frozen=True, slots=True, eq=False)
class NiftiHeader:
    """What the header of a NIfTI file says, and what is odd about it.

    Args:
        geometry: The grid in LPS; slices are the third axis of the file.
        num_volumes: Length of the fourth axis.
        dtype: Type of the stored values, with byte order.
        offset: Where the voxels begin, in bytes.
        scaling: (slope, intercept) from stored value to value.
        remarks: What was noticed.
    """

    geometry: Geometry
    num_volumes: int
    dtype: np.dtype[np.generic]
    offset: int
    scaling: tuple[float, float]
    remarks: tuple[Remark, ...]


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header alone.

    Raises:
        IsletError: If the file is no NIfTI file or says something impossible.
    """
    try:
        with _open(path) as file:
            return _parse(file.read(540))
    except (OSError, EOFError, OverflowError, ValueError, zlib.error, struct.error) as error:
        raise _damaged() from error


def read_nifti(path: Path) -> tuple[NiftiHeader, NDArray[np.generic]]:
    """Read header and voxels; of a series of volumes, the first.

    Returns:
        Header, and (slices, rows, columns) stored values with the scaling applied.

    Raises:
        IsletError: If the file is damaged or cut short.
    """
    header = read_nifti_header(path)
    num_bytes = math.prod(header.geometry.shape) * header.dtype.itemsize
    try:
        with _open(path) as file:
            file.seek(header.offset)
            data = file.read(num_bytes)
    except (OSError, EOFError, ValueError, zlib.error, OverflowError, MemoryError) as error:
        raise _damaged() from error
    if len(data) < num_bytes:
        raise _damaged()
    stored = np.frombuffer(data, dtype=header.dtype).reshape(header.geometry.shape)
    stored = stored.astype(header.dtype.newbyteorder("="), copy=False)
    return header, _scaled(stored, *header.scaling)


def _scaled(stored: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    if (slope, intercept) == (1.0, 0.0):
        return stored
    is_small = stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2
    if is_small and slope.is_integer() and intercept.is_integer() and abs(slope) < 1000:
        return stored.astype(np.int64) * int(slope) + int(intercept)
    return stored.astype(np.float64) * slope + intercept


def write_nifti(array: NDArray[np.generic], geometry: Geometry, path: Path) -> None:
    """Write (slices, rows, columns) as NIfTI-1 with equal sform and qform, gzipped for .gz.

    An axis system that no qform can express is written with the sform alone.
    """
    affine = _RAS_TO_LPS @ _reversed_axes(geometry.affine)
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    content = _header_bytes(array, affine) + b"\0\0\0\0"
    if path.name.endswith(".gz"):
        # No name and no time in the gzip header: the same voxels give the same file.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 3, raw, mtime=0) as file:
            file.write(content)
            file.write(data.data)
    else:
        with path.open("wb") as file:
            file.write(content)
            file.write(data.data)


def _open(path: Path) -> gzip.GzipFile:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    # By content, not by name: downloads lose or gain a .gz.
    return gzip.open(path, "rb") if is_gzip else path.open("rb")  # pyright: ignore[reportReturnType]


def _parse(head: bytes) -> NiftiHeader:
    order, layout = _layout_of(head)
    fields = {
        name: struct.unpack_from(order + form, head, offset)
        for name, (offset, form) in layout.items()
    }
    dim = [int(n) for n in fields["dim"]]
    if not 2 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise _damaged()
    if math.prod(dim[1 : dim[0] + 1]) > _MAX_VOXELS:
        raise _damaged()
    dim[dim[0] + 1 :] = [1] * (7 - dim[0])
    dtype = _dtype_of(int(fields["datatype"][0]), order)
    if max(dim[5:]) > 1:
        raise _not_a_volume("holds vectors or more dimensions than a CT has")
    affine, remarks = _affine_of(fields)
    shape = (dim[3], dim[2], dim[1])
    slope, intercept = (float(n) for n in fields["scaling"])
    is_scaled = np.isfinite([slope, intercept]).all() and slope != 0
    return NiftiHeader(
        geometry=_geometry(shape, affine),
        num_volumes=dim[4],
        dtype=dtype,
        offset=int(fields["vox_offset"][0]),
        scaling=(slope, intercept) if is_scaled else (1.0, 0.0),
        remarks=remarks,
    )


def _layout_of(head: bytes) -> tuple[str, dict[str, tuple[int, str]]]:
    for order in ("<", ">"):
        size = struct.unpack_from(order + "i", head)[0] if len(head) >= 4 else 0
        if size in _LAYOUTS and len(head) >= _LAYOUTS[size][1]:
            return order, _LAYOUTS[size][0]
    raise _damaged()


def _dtype_of(code: int, order: str) -> np.dtype[np.generic]:
    if code in _COLOUR:
        raise _not_a_volume("holds colours")
    if code not in _DTYPES:
        raise _not_a_volume("holds values that are no plain numbers")
    return np.dtype(order + _DTYPES[code])


def _affine_of(
    fields: dict[str, tuple[float, ...]],
) -> tuple[NDArray[np.float64], tuple[Remark, ...]]:
    """Return (i, j, k) -> RAS in mm, and remarks on how the header's statements agree."""
    units = int(fields["xyzt_units"][0]) & 7
    scale = np.diag([*[_UNIT_TO_MM.get(units, 1.0)] * 3, 1.0])
    qform_code, sform_code = fields["codes"]
    sform = np.vstack([np.reshape(fields["sform"], (3, 4)), [0, 0, 0, 1]])
    qform = _qform(fields["quatern"], fields["pixdim"])
    if sform_code > 0 and qform_code > 0:
        return scale @ sform, _disagreement(scale @ sform, scale @ qform)
    if sform_code > 0:
        return scale @ sform, ()
    if qform_code > 0:
        return scale @ qform, ()
    message = "The file does not say how its voxels lie in the patient; left and right are a guess."
    return scale @ np.diag([*fields["pixdim"][1:4], 1.0]), (Remark(message, blocks_analysis=True),)


def _qform(quatern: tuple[float, ...], pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    b, c, d = quatern[:3]
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    handedness = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * handedness])
    affine[:3, 3] = quatern[3:]
    return affine


def _disagreement(sform: NDArray[np.float64], qform: NDArray[np.float64]) -> tuple[Remark, ...]:
    if not (np.isfinite(sform).all() and np.isfinite(qform).all()):
        return ()
    lengths = [np.maximum(np.linalg.norm(m[:3, :3], axis=0), 1e-9) for m in (sform, qform)]
    cosines = ((sform[:3, :3] / lengths[0]) * (qform[:3, :3] / lengths[1])).sum(axis=0)
    turn = float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))
    if turn > 1.0:
        message = (
            f"The two orientations in the file, sform and qform, differ by {turn:.0f}°;"
            " the sform was used."
        )
        return (Remark(message, blocks_analysis=True),)
    stretch = float(np.abs(lengths[0] / lengths[1] - 1).max())
    if stretch > 0.01:
        message = (
            f"The voxel sizes in the file, of sform and qform, differ by {stretch:.0%};"
            " the sform was used."
        )
        return (Remark(message, blocks_analysis=True),)
    shift = float(np.linalg.norm(sform[:3, 3] - qform[:3, 3]))
    if shift > 0.5 * float(lengths[0].min()):
        message = (
            f"The two positions in the file, of sform and qform, lie {shift:.1f} mm apart;"
            " the sform was used."
        )
        return (Remark(message),)
    return ()


def _geometry(shape: tuple[int, int, int], affine_ras: NDArray[np.float64]) -> Geometry:
    affine = _reversed_axes(_RAS_TO_LPS @ affine_ras)
    try:
        return Geometry(shape=shape, affine=affine)
    except ValueError as error:
        raise IsletError(
            "The file states no possible voxel size or orientation.",
            remedy="Convert the original DICOM series again, or open the DICOM series itself.",
        ) from error


def _reversed_axes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Swap between (i, j, k) and (slice, row, column) columns."""
    return affine[:, [2, 1, 0, 3]]


def _header_bytes(array: NDArray[np.generic], affine: NDArray[np.float64]) -> bytes:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    quatern, handedness = _quaternion(affine[:3, :3] / spacing)
    is_orthogonal = np.allclose(affine[:3, :3].T @ affine[:3, :3], np.diag(spacing**2), atol=1e-5)
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, _CODES[array.dtype.str[1:]], 8 * array.dtype.itemsize)
    struct.pack_into("<8f", head, 76, handedness, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    struct.pack_into("<B", head, 123, 2)
    struct.pack_into("<2h", head, 252, 1 if is_orthogonal else 0, 1)
    struct.pack_into("<6f", head, 256, *quatern, *affine[:3, 3])
    struct.pack_into("<12f", head, 280, *affine[:3].ravel())
    struct.pack_into("<4s", head, 344, b"n+1\0")
    return bytes(head)


def _quaternion(direction: NDArray[np.float64]) -> tuple[tuple[float, float, float], float]:
    """Return (b, c, d) and the handedness of the axes, as the NIfTI-1 standard defines them."""
    handedness = -1.0 if np.linalg.det(direction) < 0 else 1.0
    rotation = direction * np.array([1.0, 1.0, handedness])
    # The eigenvector of this symmetric matrix is the quaternion; stable for every rotation.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = rotation.ravel()
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    b, c, d, a = np.linalg.eigh(symmetric)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return (float(b * sign), float(c * sign), float(d * sign)), handedness


def _damaged() -> IsletError:
    return IsletError(
        "The file is damaged, cut short or no NIfTI file.",
        remedy="Copy or convert it again from the original and open the new file.",
    )


def _not_a_volume(what: str) -> IsletError:
    return IsletError(
        f"The file {what}.",
        remedy="Open a file with a single CT volume in it.",
    )
