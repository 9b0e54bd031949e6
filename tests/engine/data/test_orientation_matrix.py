"""Left is left, whatever the file format and however the voxels are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from engine.data.dicom import find_series, read_volume
from engine.data.images import read_image
from engine.volume import Volume
from tests.engine.data.series_factory import (
    GRIDS,
    LEFT_HANDED,
    SHAPE,
    check_phantom,
    patch,
    write_enhanced,
    write_image,
    write_nifti2,
    write_series,
)

RIGHT_ANGLED = {name: grid for name, grid in GRIDS.items() if name != "tilt_15"}
IMAGE_GRIDS = {**RIGHT_ANGLED, "negative_determinant": LEFT_HANDED}


def _read(folder: Path) -> Volume:
    (series,) = find_series(folder)
    return read_volume(series)


@pytest.mark.parametrize("name", GRIDS)
def test_dicom_slices_lie_right_in_every_orientation(name: str, tmp_path: Path) -> None:
    volume = _read(write_series(tmp_path, GRIDS[name]))
    check_phantom(volume)
    assert volume.voxels_hu.dtype == np.int16
    assert volume.unsafe_reasons == ()


@pytest.mark.parametrize("name", GRIDS)
def test_enhanced_multi_frame_lies_right_in_every_orientation(name: str, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(GRIDS[name].shape[0])
    volume = _read(write_enhanced(tmp_path, GRIDS[name], order=[int(n) for n in order]))
    check_phantom(volume)
    assert volume.unsafe_reasons == ()


@pytest.mark.parametrize("name", ["identity", "ras", "flipped_z"])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_compressed_slices_lie_right(name: str, syntax: str, tmp_path: Path) -> None:
    check_phantom(_read(write_series(tmp_path, GRIDS[name], syntax=syntax)))


@pytest.mark.parametrize("name", GRIDS)
def test_descending_order_lies_right_in_every_orientation(name: str, tmp_path: Path) -> None:
    check_phantom(_read(write_series(tmp_path, GRIDS[name], descending=True)))


@pytest.mark.parametrize("name", GRIDS)
def test_a_missing_slice_leaves_the_others_in_place(name: str, tmp_path: Path) -> None:
    numbers = [n for n in range(GRIDS[name].shape[0]) if n != 2]
    volume = _read(write_series(tmp_path, GRIDS[name], numbers=numbers))
    check_phantom(volume)
    assert any("missing" in reason for reason in volume.unsafe_reasons)


@pytest.mark.parametrize("name", GRIDS)
def test_a_duplicate_slice_is_counted_once(name: str, tmp_path: Path) -> None:
    numbers = [*range(GRIDS[name].shape[0]), 20]
    volume = _read(write_series(tmp_path, GRIDS[name], numbers=numbers))
    check_phantom(volume)
    assert volume.geometry.shape[0] == GRIDS[name].shape[0]
    assert volume.unsafe_reasons == ()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("name", IMAGE_GRIDS)
def test_image_files_lie_right_in_every_orientation(name: str, suffix: str, tmp_path: Path) -> None:
    volume = read_image(write_image(tmp_path / f"ct{suffix}", IMAGE_GRIDS[name]))
    check_phantom(volume)
    assert volume.geometry.is_same_as(IMAGE_GRIDS[name])
    assert volume.unsafe_reasons == ()


@pytest.mark.parametrize("codes", [(1, 0), (0, 1)], ids=["qform only", "sform only"])
@pytest.mark.parametrize("name", IMAGE_GRIDS)
def test_nifti_lies_right_by_either_form(name: str, codes: tuple[int, int], tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", IMAGE_GRIDS[name])
    patch(path, 252, "2h", *codes)
    unused = (280, "12f", *[7.0] * 12) if codes[1] == 0 else (256, "6f", *[0.5] * 6)
    patch(path, *unused)
    volume = read_image(path)
    check_phantom(volume)
    assert volume.unsafe_reasons == ()


@pytest.mark.parametrize("name", IMAGE_GRIDS)
def test_disagreeing_nifti_follows_the_sform_and_is_unsafe(name: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", IMAGE_GRIDS[name])
    patch(path, 252, "2h", 1, 1)
    patch(path, 256, "3f", 0.5, 0.5, 0.5)
    volume = read_image(path)
    check_phantom(volume)
    assert any("the sform was used" in reason for reason in volume.unsafe_reasons)


@pytest.mark.parametrize("name", IMAGE_GRIDS)
def test_big_endian_nifti_lies_right(name: str, tmp_path: Path) -> None:
    check_phantom(read_image(write_image(tmp_path / "ct.nii", IMAGE_GRIDS[name], big_endian=True)))


@pytest.mark.parametrize("name", IMAGE_GRIDS)
def test_nifti2_lies_right(name: str, tmp_path: Path) -> None:
    check_phantom(read_image(write_nifti2(tmp_path / "ct.nii", IMAGE_GRIDS[name])))


def test_the_matrix_is_asymmetric_in_shape() -> None:
    assert len(set(SHAPE)) == 3
