"""Image files keep their place and values, and what is doubtful about them is said."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.data.images import (
    read_grid,
    read_image,
    read_labels,
    resample_labels,
    write_labels,
    write_volume,
)
from engine.errors import IsletError
from engine.geometry import Geometry, from_spacing
from engine.volume import LabelMap, Volume
from tests.engine.data.series_factory import (
    GRIDS,
    LEFT_HANDED,
    check_phantom,
    geometry_of,
    patch,
    phantom,
    write_image,
    write_nifti2,
)

# Wide enough to hold air.
SMALL = geometry_of(shape=(6, 64, 56))
WRITABLE = (".nii", ".nii.gz", ".nrrd", ".mha")
PLACES = {**{name: grid for name, grid in GRIDS.items() if name != "tilt_15"}, "left": LEFT_HANDED}


def _reasons(path: Path) -> str:
    return " ".join(read_image(path).unsafe_reasons)


# --- writing


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("name", PLACES)
def test_a_written_volume_is_read_back_exactly(name: str, suffix: str, tmp_path: Path) -> None:
    volume = Volume(voxels_hu=phantom(PLACES[name]), geometry=PLACES[name])
    path = tmp_path / f"ct{suffix}"
    write_volume(volume, path)
    again = read_image(path)
    assert again.geometry.is_same_as(volume.geometry)
    np.testing.assert_array_equal(again.voxels_hu, volume.voxels_hu)
    assert again.unsafe_reasons == ()
    assert read_grid(path).is_same_as(volume.geometry)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_another_program_reads_what_is_written(suffix: str, tmp_path: Path) -> None:
    for name, grid in PLACES.items():
        path = tmp_path / f"{name}{suffix}"
        write_volume(Volume(voxels_hu=phantom(grid), geometry=grid), path)
        image = sitk.ReadImage(str(path))
        last = [n - 1 for n in grid.shape]
        expected = grid.to_patient([last])[0]
        found = image.TransformIndexToPhysicalPoint([int(n) for n in reversed(last)])
        np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("turn", [0, 37, 90, 137, 180, 251])
def test_qform_and_sform_written_agree_for_any_rotation(turn: int, tmp_path: Path) -> None:
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    grid = geometry_of(((0, -sine, cosine), (0, cosine, sine), (1, 0, 0)), shape=(5, 6, 7))
    path = tmp_path / "labels.nii"
    labels = LabelMap(np.zeros(grid.shape, np.uint8), {1: "pancreas"}, grid)
    write_labels(labels, path)
    patch(path, 254, "h", 0)
    assert read_grid(path).is_same_as(grid)


def test_fractional_densities_survive(tmp_path: Path) -> None:
    voxels = phantom(SMALL).astype(np.float32) + np.float32(0.25)
    write_volume(Volume(voxels_hu=voxels, geometry=SMALL), tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "ct.nii.gz").voxels_hu, voxels)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_labels_are_read_back_exactly(suffix: str, tmp_path: Path) -> None:
    values = (np.indices(SMALL.shape).sum(axis=0) % 3).astype(np.uint8)
    labels = LabelMap(values, {1: "pancreas", 2: "lesion"}, SMALL)
    write_labels(labels, tmp_path / f"labels{suffix}")
    again = read_labels(tmp_path / f"labels{suffix}", {1: "pancreas", 2: "lesion"})
    np.testing.assert_array_equal(again.labels, values)
    assert again.geometry.is_same_as(SMALL)
    assert again.value_of("lesion") == 2


def test_the_same_labels_give_the_same_bytes_and_leave_no_other_file(tmp_path: Path) -> None:
    labels = LabelMap(np.ones(SMALL.shape, np.uint8), {1: "pancreas"}, SMALL)
    for name in ("one.nii.gz", "two.nii.gz"):
        write_labels(labels, tmp_path / name)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.nii.gz", "two.nii.gz"]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("missing/ct.nii", "The file could not be written.", "Check that the folder exists"),
        ("ct.mhd", "Islet does not write .mhd files.", "Choose a name ending in .nii"),
        ("ct.png", "has no suffix of an image", "Open a DICOM folder or a file ending in"),
    ],
)
def test_what_cannot_be_written_is_said(
    name: str, message: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(IsletError) as caught:
        write_volume(Volume(voxels_hu=phantom(SMALL), geometry=SMALL), tmp_path / name)
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


# --- reading


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_whole_numbers_of_any_type_become_int16(dtype: type, tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL, phantom(SMALL).astype(dtype))
    volume = read_image(path)
    assert volume.voxels_hu.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels_hu, phantom(SMALL))


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    stored = (phantom(SMALL) + 1024).astype(np.int16)
    path = write_image(tmp_path / "ct.nii", SMALL, stored)
    patch(path, 112, "2f", 1.0, -1024.0)
    np.testing.assert_array_equal(read_image(path).voxels_hu, phantom(SMALL))
    patch(path, 112, "2f", 0.5, -1024.0)
    np.testing.assert_array_equal(read_image(path).voxels_hu, stored * 0.5 - 1024)


def test_a_compressed_file_without_gz_in_its_name_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_image(path).voxels_hu, phantom(SMALL))


def test_metres_become_millimetres(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    content = path.read_bytes()
    rows = np.array(struct.unpack_from("<12f", content, 280)) / 1000
    patch(path, 280, "12f", *rows)
    patch(path, 252, "2h", 0, 1)
    patch(path, 123, "B", 1)
    assert read_grid(path).is_same_as(SMALL)


def test_a_small_shift_between_the_forms_is_said_and_harmless(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 252, "2h", 1, 1)
    patch(path, 268, "3f", *(np.array(struct.unpack_from("<3f", path.read_bytes(), 268)) + 4))
    volume = read_image(path)
    assert "lie 6.9 mm apart; the sform was used" in volume.remarks[0].message
    assert volume.unsafe_reasons == ()
    assert volume.geometry.is_same_as(SMALL)


def test_forms_of_different_voxel_size_block_analysis(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 252, "2h", 1, 1)
    patch(path, 80, "3f", 1.0, 1.5, 2.5)
    assert "differ by 50%; the sform was used" in _reasons(path)


def test_mirrored_forms_block_analysis(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 252, "2h", 1, 1)
    patch(path, 280, "f", 1.5)
    assert "differ by 180°; the sform was used" in _reasons(path)


def test_a_file_without_orientation_blocks_analysis(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 252, "2h", 0, 0)
    assert "left and right are a guess" in _reasons(path)
    assert read_image(path).geometry.spacing_mm == pytest.approx((2.5, 1.5, 1.5))


def test_nrrd_and_mha_without_orientation_block_analysis(tmp_path: Path) -> None:
    data = phantom(SMALL).astype("<i2").tobytes()
    nrrd = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 56 64 6\nspacings: 1.5 1.5 2.5\n"
    (tmp_path / "ct.nrrd").write_bytes(nrrd + b"endian: little\nencoding: raw\n\n" + data)
    mha = b"ObjectType = Image\nNDims = 3\nDimSize = 56 64 6\nElementSpacing = 1.5 1.5 2.5\n"
    tail = b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "ct.mha").write_bytes(mha + tail + data)
    for name in ("ct.nrrd", "ct.mha"):
        assert "left and right are a guess" in _reasons(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).voxels_hu, phantom(SMALL))


@pytest.mark.parametrize("suffix", WRITABLE)
def test_the_first_of_several_volumes_is_shown_and_blocks(suffix: str, tmp_path: Path) -> None:
    images = [sitk.GetImageFromArray(phantom(SMALL) + shift) for shift in (0, 5)]
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(sitk.JoinSeries(images), str(path))
    assert "holds 2 volumes; the first is shown" in _reasons(path)
    np.testing.assert_array_equal(read_image(path).voxels_hu, phantom(SMALL))


def test_a_time_axis_of_length_one_is_nothing_to_remark(tmp_path: Path) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 40, "h", 4)
    assert read_image(path).unsafe_reasons == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda hu: (hu + 1024).astype(np.int16), "do not look like Hounsfield units"),
        (lambda hu: np.clip(hu // 8 + 128, 0, 255).astype(np.uint8), "to 228, do not look"),
        (lambda hu: (hu / 1000).astype(np.float32), "do not look like Hounsfield units"),
        (lambda hu: np.where(hu == 140, np.nan, hu).astype(np.float32), "voxels have no value"),
        (lambda hu: hu[:1], "holds a single slice"),
    ],
)
def test_values_that_are_not_trustworthy_block_analysis(
    change: Callable[[np.ndarray], np.ndarray], reason: str, tmp_path: Path
) -> None:
    voxels = change(phantom(GRIDS["identity"]))
    grid = GRIDS["identity"] if len(voxels) > 1 else geometry_of(shape=voxels.shape)
    path = write_image(tmp_path / "ct.nii", grid, voxels)
    assert reason in _reasons(path)
    assert np.isfinite(read_image(path).voxels_hu).all()


def test_skewed_axes_block_analysis(tmp_path: Path) -> None:
    path = write_nifti2(tmp_path / "ct.nii", GRIDS["tilt_15"])
    volume = read_image(path)
    assert "deviate by 15° from right angles" in " ".join(volume.unsafe_reasons)
    assert volume.geometry.is_same_as(GRIDS["tilt_15"])


@pytest.mark.parametrize("suffix", WRITABLE)
def test_colours_are_an_error_with_a_remedy(suffix: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 8, 8, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"ct{suffix}"))
    with pytest.raises(IsletError, match=r"holds (colours|vectors)") as caught:
        read_image(tmp_path / f"ct{suffix}")
    assert caught.value.remedy == "Open a file with a single CT volume in it."


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_an_error_with_a_remedy(
    suffix: str, share: float, tmp_path: Path
) -> None:
    path = write_image(tmp_path / f"ct{suffix}", SMALL)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(IsletError, match="damaged, cut short") as caught:
        read_image(path)
    assert caught.value.remedy.startswith("Copy or convert it again from the original")


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd"])
def test_a_missing_file_is_an_error_with_a_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(IsletError, match="does not exist") as caught:
        read_image(tmp_path / name)
    assert caught.value.remedy.startswith("Check the name")


@pytest.mark.parametrize(("offset", "form"), [(80, "3f"), (280, "12f")])
def test_an_impossible_grid_is_an_error_with_a_remedy(
    offset: int, form: str, tmp_path: Path
) -> None:
    path = write_image(tmp_path / "ct.nii", SMALL)
    patch(path, 252, "2h", int(offset == 80), int(offset == 280))
    patch(path, offset, form, *[np.nan] * int(form[:-1]))
    with pytest.raises(IsletError, match="no possible voxel size") as caught:
        read_image(path)
    assert caught.value.remedy.startswith("Convert the original DICOM series again")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_scrambled_headers_never_raise_anything_but_islet_errors(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix = data.draw(st.sampled_from([".nii", ".nrrd", ".mha"]))
    path = tmp_path_factory.mktemp("fuzz") / f"ct{suffix}"
    content = bytearray(write_image(path, geometry_of(shape=(3, 4, 5))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(400, len(content)) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(bytes(content))
    try:
        volume = read_image(path)
    except IsletError:
        return
    assert volume.voxels_hu.shape == volume.geometry.shape


# --- labels


def test_labels_a_last_digit_away_from_whole_are_rounded(tmp_path: Path) -> None:
    values = np.full(SMALL.shape, 1.0000153, np.float32)
    path = write_image(tmp_path / "labels.nii", SMALL, values)
    assert (read_labels(path, {1: "pancreas"}).labels == 1).all()


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_values_that_are_no_labels_are_an_error_with_a_remedy(value: float, tmp_path: Path) -> None:
    path = write_image(tmp_path / "labels.nii", SMALL, np.full(SMALL.shape, value, np.float32))
    with pytest.raises(IsletError, match="other than whole numbers from 0 to 255") as caught:
        read_labels(path, {})
    assert caught.value.remedy == "Open a label map, not a picture or a probability map."


def test_labels_follow_the_patient_to_another_grid() -> None:
    for source in PLACES.values():
        labels = LabelMap((phantom(source) > 390).astype(np.uint8), {1: "bone"}, source)
        for target in PLACES.values():
            moved = resample_labels(labels, target)
            assert moved.geometry is target
            inside = moved.labels[(phantom(target) > 500) & (phantom(target) < 801)]
            assert inside.mean() > 0.95
            assert moved.labels[phantom(target) < 100].mean() < 0.002


def test_labels_on_the_same_grid_or_turned_by_axes_lose_no_voxel() -> None:
    grid = from_spacing((5, 6, 7), (2.0, 0.9765625, 0.9765625), (-249.51171875, 61.5, -804.5))
    flipped = np.array(grid.affine)
    flipped[:3, 1] *= -1
    flipped[:3, 3] = grid.to_patient([[0, 5, 0]])[0]
    values = np.random.default_rng(0).integers(0, 9, grid.shape).astype(np.uint8)
    moved = resample_labels(LabelMap(values, {}, grid), Geometry(grid.shape, flipped))
    np.testing.assert_array_equal(moved.labels, values[:, ::-1])
    same = resample_labels(LabelMap(values, {}, grid), Geometry(grid.shape, grid.affine))
    np.testing.assert_array_equal(same.labels, values)


def test_outside_the_labelled_grid_is_background() -> None:
    labels = LabelMap(np.ones(SMALL.shape, np.uint8), {1: "pancreas"}, SMALL)
    moved = resample_labels(labels, GRIDS["identity"])
    assert moved.volume_mm3("pancreas") == pytest.approx(labels.volume_mm3("pancreas"), rel=0.2)


def test_a_left_handed_image_is_not_mirrored(tmp_path: Path) -> None:
    check_phantom(read_image(write_image(tmp_path / "ct.nii.gz", LEFT_HANDED)))
