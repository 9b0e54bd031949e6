"""Every fault of a DICOM series is said, and none passes silently."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from engine.data.dicom import find_series, read_middle_slice, read_volume
from engine.errors import CancelledError, IsletError
from engine.volume import Volume
from tests.engine.data.series_factory import (
    GRIDS,
    SHAPE,
    check_phantom,
    geometry_of,
    phantom,
    slice_dataset,
    tilted,
    turned,
    value_at,
    write_enhanced,
    write_series,
)

IDENTITY = GRIDS["identity"]
SMALL = geometry_of(shape=(6, 32, 28))


def _read(folder: Path) -> Volume:
    (series,) = find_series(folder)
    return read_volume(series)


def _messages(volume: Volume) -> str:
    return " ".join(remark.message for remark in volume.remarks)


def _reasons(folder: Path) -> str:
    return " ".join(_read(folder).unsafe_reasons)


def _setting(**values: object) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, _number: int) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return edit


# --- the list of series


def test_a_series_is_described_by_its_headers(tmp_path: Path) -> None:
    (series,) = find_series(write_series(tmp_path, SMALL))
    assert (series.kind, series.modality, series.num_slices) == ("ct", "CT", 6)
    assert series.slice_spacing_mm == pytest.approx(2.5)
    assert series.phase == "venous"
    assert series.window == (400.0, 50.0)
    identity = series.identity
    assert (identity.patient_name, identity.patient_id) == ("Phantom, Letter", "F-1")
    assert (identity.birth_date, identity.study_date) == ("1950-01-02", "2024-05-06")
    assert identity.acquisition == "120 kVp, 2.5 mm"


def test_other_files_beside_the_slices_are_ignored(tmp_path: Path) -> None:
    write_series(tmp_path / "a" / "b", SMALL)
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 64)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty").write_bytes(b"")
    (series,) = find_series(tmp_path)
    assert series.num_slices == 6
    assert series.remarks == ()


def test_an_empty_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(IsletError) as caught:
        find_series(tmp_path)
    assert caught.value.message == "There is no DICOM file here."
    assert caught.value.remedy.startswith("Choose the folder that holds the slices")


def test_a_folder_of_damaged_files_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0")
    with pytest.raises(IsletError) as caught:
        find_series(tmp_path)
    assert caught.value.message == "All 2 DICOM files are damaged and cannot be read."
    assert caught.value.remedy.startswith("Export the study from the archive again")


def test_the_number_of_unreadable_files_is_said(tmp_path: Path) -> None:
    write_series(tmp_path, SMALL)
    content = (tmp_path / "IM0003").read_bytes()
    (tmp_path / "IM0003").write_bytes(content[:600])
    message = "1 DICOM file here could not be read; the series may be incomplete."
    assert message in _messages(_read(tmp_path))


def test_localisers_captures_and_other_modalities_are_listed_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", SMALL)
    scout = _setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.1")
    write_series(tmp_path / "scout", SMALL, numbers=[0], edit=scout)
    capture = _setting(SOPClassUID=SecondaryCaptureImageStorage, SeriesInstanceUID="1.2.2")
    write_series(tmp_path / "capture", SMALL, numbers=[0], edit=capture)
    write_series(tmp_path / "mr", SMALL, edit=_setting(Modality="MR", SeriesInstanceUID="1.2.3"))
    kinds = [series.kind for series in find_series(tmp_path)]
    assert kinds[0] == "ct"
    assert sorted(kinds) == ["ct", "localiser", "other", "secondary"]


def test_a_localiser_inside_the_series_is_set_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", SMALL)
    scout = _setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "scout", GRIDS["coronal"], numbers=[0], edit=scout)
    series = find_series(tmp_path)
    assert [each.kind for each in series] == ["ct", "localiser"]
    assert "mixes 2 stacks" in series[0].remarks[0].message
    assert read_volume(series[0]).unsafe_reasons == ()


def test_a_mixed_series_is_split_by_orientation_and_size(tmp_path: Path) -> None:
    write_series(tmp_path / "axial", SMALL)
    write_series(tmp_path / "coronal", GRIDS["coronal"], numbers=range(5))
    write_series(tmp_path / "small", geometry_of(shape=(4, 20, 20)))
    assert sorted(series.num_slices for series in find_series(tmp_path)) == [4, 5, 6]


def test_two_phases_of_one_series_are_split(tmp_path: Path) -> None:
    write_series(tmp_path / "one", SMALL, edit=_setting(AcquisitionNumber="1"))
    write_series(tmp_path / "two", SMALL, edit=_setting(AcquisitionNumber="2"))
    series = find_series(tmp_path)
    assert [(each.num_slices, each.part) for each in series] == [(6, 1), (6, 2)]
    assert all(read_volume(each).unsafe_reasons == () for each in series)


def test_two_patients_never_share_a_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "one", SMALL, numbers=range(3))
    write_series(tmp_path / "two", SMALL, numbers=range(3, 6), edit=_setting(PatientID="F-2"))
    assert [series.num_slices for series in find_series(tmp_path)] == [3, 3]


# --- how the pixels are stored


def test_files_without_suffix_class_and_uids_are_read(tmp_path: Path) -> None:
    edit = _setting(SOPClassUID="", SOPInstanceUID="", SeriesInstanceUID="", StudyInstanceUID="")
    write_series(tmp_path, IDENTITY, edit=edit)
    check_phantom(_read(tmp_path))


def _save_bare(dataset: Dataset, path: Path, *, implicit: bool, little: bool) -> None:
    del dataset.file_meta
    if not little:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.save_as(path, implicit_vr=implicit, little_endian=little)


@pytest.mark.parametrize(
    ("implicit", "little"), [(True, True), (False, True), (False, False)], ids=str
)
def test_files_without_preamble_are_read(implicit: bool, little: bool, tmp_path: Path) -> None:
    voxels = phantom(IDENTITY)
    for number in range(SHAPE[0]):
        dataset = slice_dataset(IDENTITY, voxels, number)
        _save_bare(dataset, tmp_path / str(number), implicit=implicit, little=little)
    check_phantom(_read(tmp_path))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_transfer_syntaxes_are_read(syntax: str, tmp_path: Path) -> None:
    def edit(dataset: Dataset, _number: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    check_phantom(_read(write_series(tmp_path, IDENTITY, edit=edit)))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_multi_frame_is_read(syntax: str, tmp_path: Path) -> None:
    check_phantom(_read(write_enhanced(tmp_path, IDENTITY, syntax=syntax)))


def test_jpeg_lossless_is_read(tmp_path: Path) -> None:
    def edit(dataset: Dataset, number: int) -> None:
        image = sitk.GetImageFromArray((phantom(IDENTITY)[number] + 1024).astype(np.uint16))
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(image)
        packed = pydicom.dcmread(tmp_path / "packed.dcm")
        (tmp_path / "packed.dcm").unlink()
        assert packed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.BitsStored, dataset.HighBit = packed.BitsStored, packed.HighBit
        dataset.PixelData = packed.PixelData
        dataset["PixelData"].is_undefined_length = True

    check_phantom(_read(write_series(tmp_path / "series", IDENTITY, edit=edit)))


def test_signed_values_with_a_rescale_per_slice_are_exact(tmp_path: Path) -> None:
    def edit(dataset: Dataset, number: int) -> None:
        intercept = number % 5 - 1000
        hu = np.frombuffer(dataset.PixelData, "<u2").astype(np.int32) - 1024
        dataset.PixelData = (hu - intercept).astype("<i2").tobytes()
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 16, 15
        dataset.RescaleIntercept = str(intercept)

    volume = _read(write_series(tmp_path, IDENTITY, edit=edit))
    check_phantom(volume)
    assert volume.voxels_hu.dtype == np.int16


def test_a_fractional_slope_gives_fractional_densities(tmp_path: Path) -> None:
    volume = _read(write_series(tmp_path, SMALL, edit=_setting(RescaleSlope="0.5")))
    assert volume.voxels_hu.dtype == np.float32
    stored = phantom(SMALL) + 1024.0
    np.testing.assert_array_equal(volume.voxels_hu, stored * 0.5 - 1024)


def test_padding_below_air_becomes_air(tmp_path: Path) -> None:
    def edit(dataset: Dataset, _number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2").astype("<i2") - 1024
        stored[:50] = -2000
        dataset.PixelData, dataset.PixelRepresentation = stored.tobytes(), 1
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.RescaleIntercept, dataset.PixelPaddingValue = "0", -2000

    volume = _read(write_series(tmp_path, SMALL, edit=edit))
    assert volume.voxels_hu.min() == -1024


def test_overlay_bits_above_the_stored_bits_are_dropped(tmp_path: Path) -> None:
    def edit(dataset: Dataset, _number: int) -> None:
        stored = np.frombuffer(dataset.PixelData, "<u2") | np.uint16(0x8000)
        dataset.PixelData = stored.tobytes()

    check_phantom(_read(write_series(tmp_path, IDENTITY, edit=edit)))


def test_a_middle_slice_lies_where_the_volume_has_it(tmp_path: Path) -> None:
    (series,) = find_series(write_series(tmp_path, IDENTITY))
    one = read_middle_slice(series)
    assert one.geometry.shape == (1, *SHAPE[1:])
    whole = read_volume(series)
    centre = one.geometry.to_patient([[0, 30, 30]])[0]
    assert value_at(one, centre) == value_at(whole, centre)


def test_progress_reaches_the_end_and_cancelling_stops(tmp_path: Path) -> None:
    (series,) = find_series(write_series(tmp_path, SMALL))
    seen: list[float] = []
    read_volume(series, lambda _stage, fraction: seen.append(fraction))
    assert len(seen) == 6
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def cancel(_stage: str, _fraction: float) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        read_volume(series, cancel)


# --- the grid


@pytest.mark.parametrize("degrees", [-15, 8, 15])
def test_gantry_tilt_is_resampled_and_said(degrees: float, tmp_path: Path) -> None:
    volume = _read(write_series(tmp_path, tilted(degrees)))
    check_phantom(volume)
    assert f"tilted by {abs(degrees):.1f}°; the slices were resampled" in _messages(volume)
    assert volume.unsafe_reasons == ()
    axes = volume.geometry.direction
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)


def test_tilted_slices_are_not_cropped(tmp_path: Path) -> None:
    grid = tilted(15)
    volume = _read(write_series(tmp_path, grid))
    corners = np.array([[0, 0, 0], [39, 63, 55]], dtype=float)
    index = volume.geometry.to_index(grid.to_patient(corners))
    assert index.min() > -0.01
    assert (index < np.array(volume.geometry.shape) - 0.99).all()


def test_missing_slices_are_shown_empty_and_block_analysis(tmp_path: Path) -> None:
    numbers = [n for n in range(SHAPE[0]) if n not in (2, 3)]
    volume = _read(write_series(tmp_path, IDENTITY, numbers=numbers))
    assert volume.unsafe_reasons == (
        "2 slices are missing: there is a gap of 7.5 mm where slices are 2.5 mm apart;"
        " it is shown empty.",
    )
    assert volume.geometry.is_same_as(IDENTITY)
    assert (volume.voxels_hu[2:4] == -1024).all()


def test_copied_slices_are_left_out_and_said(tmp_path: Path) -> None:
    volume = _read(write_series(tmp_path, SMALL, numbers=[0, 1, 2, 2, 3, 4, 5]))
    assert "1 duplicate slice was left out." in _messages(volume)
    assert volume.unsafe_reasons == ()


def test_different_pictures_at_one_position_block_analysis(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SMALL)
    zero = _setting(PixelData=bytes(2 * 32 * 28))
    write_series(tmp_path / "b", SMALL, numbers=[3], edit=zero)
    assert "Slices with different pictures lie at 1 position" in _reasons(tmp_path)


def _moved(offset_mm: Callable[[int], float]) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, number: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, f"{float(z) + offset_mm(number):.6f}"]

    return edit


def test_small_jitter_is_said_and_harmless(tmp_path: Path) -> None:
    jitter = _moved(lambda number: 0.024 if number % 2 else 0.0)
    volume = _read(write_series(tmp_path, GRIDS["oblique_20"], edit=jitter))
    assert volume.unsafe_reasons == ()
    fine = _moved(lambda number: 0.045 if number == 3 else 0.0)
    coarse = geometry_of(spacing_mm=(5, 1.5, 1.5), shape=(8, 32, 28))
    volume = _read(write_series(tmp_path / "coarse", coarse, edit=fine).parent / "coarse")
    assert "deviate by up to 0.04 mm from an even grid" in _messages(volume)
    assert volume.unsafe_reasons == ()


def test_unevenly_spaced_slices_block_analysis(tmp_path: Path) -> None:
    uneven = _moved(lambda number: 0.8 if number % 4 == 0 else 0.0)
    volume = _read(write_series(tmp_path, SMALL, edit=uneven))
    assert "Slices are unevenly spaced, 1.70 to 3.30 mm apart" in " ".join(volume.unsafe_reasons)


def test_uneven_slices_keep_a_ramp_straight(tmp_path: Path) -> None:
    places = (0.0, 2.0, 4.5, 6.4, 9.0, 11.0, 13.1, 15.0)
    grid = geometry_of(spacing_mm=(2.0, 1.5, 1.5), shape=(8, 16, 16))
    start = float(grid.to_patient([[0, 0, 0]])[0, 2])

    def edit(dataset: Dataset, number: int) -> None:
        z = start + places[number]
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], f"{z:.4f}"]
        level = round(1024 + 40 * places[number] - 200)
        dataset.PixelData = np.full((16, 16), level, "<u2").tobytes()

    volume = _read(write_series(tmp_path, grid, edit=edit))
    heights = volume.geometry.to_patient([[n, 3, 3] for n in range(volume.geometry.shape[0])])[:, 2]
    expected = 40 * np.clip(heights - start, 0, places[-1]) - 200
    np.testing.assert_allclose(volume.voxels_hu[:, 3, 3], expected, atol=1)


def test_slices_far_apart_are_refused_with_a_remedy(tmp_path: Path) -> None:
    write_series(tmp_path, SMALL, edit=_moved(lambda number: 5000.0 if number == 5 else 0.0))
    with pytest.raises(IsletError) as caught:
        _read(tmp_path)
    assert caught.value.message.startswith("The 6 slices are spread over 5012 mm")
    assert caught.value.remedy.startswith("Export the complete series")


def test_slices_shifted_at_random_are_aligned_and_block_analysis(tmp_path: Path) -> None:
    def edit(dataset: Dataset, number: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [float(x) + (9.0 if number == 3 else 0.0), y, z]

    assert "shifted irregularly" in _reasons(write_series(tmp_path, SMALL, edit=edit))


def test_oblique_slices_block_analysis_beyond_twenty_degrees(tmp_path: Path) -> None:
    mild = _read(write_series(tmp_path / "mild", turned(19)))
    assert "The slices are oblique by 19°." in _messages(mild)
    assert mild.unsafe_reasons == ()
    steep = _read(write_series(tmp_path / "steep", turned(25)))
    assert steep.unsafe_reasons == ("The slices are oblique by 25°; up to 20° is safe.",)
    check_phantom(steep)


def test_a_single_slice_can_be_viewed_but_not_analysed(tmp_path: Path) -> None:
    assert _reasons(write_series(tmp_path, SMALL, numbers=[3])) == "The series has a single slice."


def test_thick_slices_block_analysis(tmp_path: Path) -> None:
    thick = geometry_of(spacing_mm=(12, 1.5, 1.5), shape=(6, 32, 28))
    assert "12 mm apart" in _reasons(write_series(tmp_path, thick))


# --- what the values mean


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_setting(Modality="MR"), "The series is MR, not CT."),
        (_setting(RescaleSlope=None, RescaleIntercept=None), "does not say how to convert"),
        (_setting(RescaleType="Z_EFF"), "The values are Z_EFF, not Hounsfield units."),
        (_setting(RescaleType="US", RescaleIntercept="0"), "do not look like Hounsfield units"),
        (_setting(PhotometricInterpretation="MONOCHROME1"), "stored inverted (MONOCHROME1)"),
        (_setting(PixelSpacing=None), "does not state its pixel spacing"),
        (_setting(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "is a localiser"),
        (_setting(SOPClassUID=SecondaryCaptureImageStorage), "holds secondary captures"),
    ],
)
def test_values_that_are_not_trustworthy_block_analysis(
    edit: Callable[[Dataset, int], None], reason: str, tmp_path: Path
) -> None:
    assert reason in _reasons(write_series(tmp_path, SMALL, edit=edit))


@pytest.mark.parametrize(
    ("edit", "message", "remedy"),
    [
        (_setting(ImagePositionPatient=None), "do not say where", "Choose the original CT"),
        (_setting(ImageOrientationPatient=None), "do not say where", "Choose the original CT"),
        (_setting(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "not a pair of", "Export the"),
        (_setting(ImageOrientationPatient=[0] * 6), "not a pair of", "Export the series"),
        (_setting(Modality="SEG"), "is a segmentation", "Choose the CT series"),
        (_setting(PixelData=b"\1\0"), "All 6 slices are cut short", "Export the series"),
    ],
)
def test_what_cannot_be_a_volume_is_an_error_with_a_remedy(
    edit: Callable[[Dataset, int], None], message: str, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(IsletError) as caught:
        _read(write_series(tmp_path, SMALL, edit=edit))
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_colour_pictures_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    def edit(dataset: Dataset, _number: int) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
        dataset.PlanarConfiguration, dataset.BitsAllocated = 0, 8
        dataset.BitsStored, dataset.HighBit = 8, 7
        dataset.PixelData = bytes(3 * 32 * 28)

    (series,) = find_series(write_series(tmp_path, SMALL, edit=edit))
    assert series.kind == "secondary"
    with pytest.raises(IsletError, match="holds colour pictures") as caught:
        read_volume(series)
    assert caught.value.remedy == "Choose a CT series from the list."


def test_reading_never_loads_torch() -> None:
    code = "import sys, engine.data.source; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
