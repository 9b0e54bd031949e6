from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from engine.case import Case, Identity
from engine.data.dicom import find_series, read_volume
from engine.data.dicom_writer import write_dicom
from engine.errors import IsletError
from engine.geometry import Geometry, from_spacing
from engine.volume import Volume


def make_case(geometry: Geometry | None = None) -> Case:
    geometry = geometry or from_spacing((12, 20, 24), (2.5, 0.75, 0.8), (-11.3, 4.7, -55.125))
    voxels = np.random.default_rng(5).integers(-1024, 3000, geometry.shape).astype(np.int16)
    return Case(
        case_id="phantom_000123",
        volume=Volume(voxels_hu=voxels, geometry=geometry),
        phase="venous",
        identity=Identity(patient_name="PHANTOM^000123", patient_id="PHANTOM-000123", sex="O"),
        window=(400.0, 50.0),
    )


def oblique_geometry() -> Geometry:
    turn, lean = 0.31, -0.22
    about_z = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]]
    )
    straight = from_spacing((12, 20, 24), (3.0, 0.9, 0.7), (5.0, -8.0, 30.0)).affine
    affine = np.array(straight)
    affine[:3, :3] = about_z @ about_x @ straight[:3, :3]
    return Geometry(shape=(12, 20, 24), affine=affine)


@pytest.mark.parametrize("geometry", [None, oblique_geometry()], ids=["axial", "oblique"])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, geometry: Geometry | None) -> None:
    case = make_case(geometry)
    write_dicom(case, tmp_path / "series")
    (series,) = find_series(tmp_path)
    volume = read_volume(series)
    assert np.array_equal(volume.voxels_hu, case.volume.voxels_hu)
    assert volume.geometry.is_same_as(case.volume.geometry)
    assert series.identity.patient_id == "PHANTOM-000123"
    header = pydicom.dcmread(series.files[0], stop_before_pixels=True)
    assert header.PatientName == "PHANTOM^000123"


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_dicom(make_case(), tmp_path / name)
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_different_voxels_get_different_uids(tmp_path: Path) -> None:
    case = make_case()
    other = replace(case, volume=replace(case.volume, voxels_hu=case.volume.voxels_hu + 1))
    write_dicom(case, tmp_path / "first")
    write_dicom(other, tmp_path / "second")
    first, second = (
        pydicom.dcmread(tmp_path / name / "CT.0001.dcm") for name in ("first", "second")
    )
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_every_slice_is_a_valid_ct_image(tmp_path: Path) -> None:
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed.")
    write_dicom(make_case(oblique_geometry()), tmp_path / "series")
    for name in ("CT.0001.dcm", "CT.0012.dcm"):
        path = str(tmp_path / "series" / name)
        told = subprocess.run([checker, path], capture_output=True, text=True, check=False)
        assert "CTImage" in told.stderr
        assert "Error" not in told.stderr


def test_a_folder_that_holds_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(IsletError) as caught:
        write_dicom(make_case(), tmp_path)
    assert caught.value.message == "The folder for the DICOM series is not empty."
    assert caught.value.remedy == "Choose a new or empty folder."
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(IsletError) as caught:
        write_dicom(make_case(), tmp_path / "file" / "series")
    assert caught.value.message == "The DICOM series could not be written."
    assert caught.value.remedy.startswith("Check that the disk has space")
