"""Whatever is opened is found, named without patient data, and read as a case."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case
from engine.data.images import read_image, read_labels, resample_labels, write_labels
from engine.data.phase import guess_phase
from engine.data.source import best_source, find_sources, first_look, read_case
from engine.errors import IsletError
from engine.volume import LabelMap, Volume
from tests.engine.data.series_factory import (
    check_phantom,
    geometry_of,
    write_enhanced,
    write_image,
    write_series,
)

SMALL = geometry_of(shape=(6, 32, 28))
FULL = geometry_of()


def _open(path: Path) -> Case:
    return read_case(best_source(find_sources(path)))


def test_a_folder_of_series_and_images_lists_all_and_prefers_the_largest_ct(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", SMALL)
    write_image(tmp_path / "thorax.nii.gz", FULL)
    write_image(tmp_path / "labels.nii.gz", geometry_of(shape=(50, 8, 8)))
    (tmp_path / "broken.nii").write_bytes(b"no")
    sources = find_sources(tmp_path)
    assert [(source.title, source.kind) for source in sources] == [
        ("3 Abdomen portal venous", "ct"),
        ("labels.nii.gz", "labels"),
        ("thorax.nii.gz", "ct"),
    ]
    assert best_source(sources).title == "thorax.nii.gz"


def test_one_slice_opens_its_whole_series(tmp_path: Path) -> None:
    write_series(tmp_path, FULL)
    write_series(tmp_path / "below", SMALL)
    (source,) = find_sources(tmp_path / "IM0007")
    assert source.num_slices == FULL.shape[0]
    check_phantom(read_case(source).volume)


def test_a_case_knows_what_the_headers_say(tmp_path: Path) -> None:
    case = _open(write_series(tmp_path, SMALL))
    assert case.phase == "venous"
    assert case.window == (400.0, 50.0)
    assert case.identity.patient_id == "F-1"
    assert case.labels is None


def test_a_case_is_named_by_a_digest_that_follows_the_series(tmp_path: Path) -> None:
    first = _open(write_series(tmp_path / "Mueller" / "one", SMALL)).case_id
    shutil.move(tmp_path / "Mueller", tmp_path / "elsewhere")
    assert _open(tmp_path / "elsewhere").case_id == first
    assert first.startswith("case-")
    assert len(first) == 17
    image = write_image(tmp_path / "Mueller.nii.gz", SMALL)
    assert "mueller" not in _open(image).case_id.lower()
    assert _open(image).case_id != first


def test_the_first_look_is_one_slice_at_its_place(tmp_path: Path) -> None:
    source = best_source(find_sources(write_enhanced(tmp_path, FULL)))
    look = first_look(source)
    assert look is not None
    assert look.geometry.shape == (1, *FULL.shape[1:])
    place = FULL.to_index(look.geometry.to_patient([[0, 0, 0]]))[0]
    whole = read_case(source).volume
    np.testing.assert_array_equal(look.voxels_hu[0], whole.voxels_hu[round(place[0])])


def test_an_image_needs_no_first_look(tmp_path: Path) -> None:
    assert first_look(best_source(find_sources(write_image(tmp_path / "a.mha", SMALL)))) is None


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("missing", "The file or folder does not exist.", "Check the name"),
        ("notes.txt", "neither DICOM nor an image", "Open a DICOM folder"),
        ("", "There is no DICOM file here.", "Choose the folder that holds the slices"),
    ],
)
def test_what_cannot_be_opened_is_an_error_with_a_remedy(
    name: str, message: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("A letter, not a picture.")
    with pytest.raises(IsletError) as caught:
        find_sources(tmp_path / name)
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_a_folder_without_a_ct_has_no_best_source(tmp_path: Path) -> None:
    write_image(tmp_path / "mask.nii.gz", SMALL)
    with pytest.raises(IsletError, match="There is no CT among") as caught:
        best_source(find_sources(tmp_path))
    assert caught.value.remedy.startswith("Choose a folder with a CT")


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("Abdomen ART 1.5", "arterial"),
        ("PANCREAS late arterial", "pancreatic"),
        ("Abd portal venous 3.0", "venous"),
        ("Abdomen_VEN_2mm", "venous"),
        ("Abdomen nativ", "unenhanced"),
        ("Pelvis delayed 5 min", "delayed"),
        ("PANCREAS DI, iDose (3)", None),
        ("Partial heart", None),
    ],
)
def test_the_phase_is_guessed_from_words(words: str, phase: str | None) -> None:
    assert guess_phase("", words) == phase


# --- the facts of the openly licensed CTs


def _mean_hu(volume: Volume, centre_mm: tuple[float, float, float], radius_mm: float) -> float:
    """Return the mean HU of a disc within one slice, as an ellipse tool measures it."""
    grid = volume.geometry
    index = np.stack(np.indices(grid.shape[1:]), axis=-1).reshape(-1, 2)
    number = round(float(grid.to_index([centre_mm])[0, 0]))
    points = grid.to_patient(np.column_stack([np.full(len(index), number), index]))
    inside = np.linalg.norm(points[:, :2] - np.array(centre_mm[:2]), axis=1) < radius_mm
    return float(volume.voxels_hu[number].ravel()[inside].mean())


def test_the_planning_ct_has_its_facts(test_data: Path) -> None:
    case = _open(test_data / "planning_ct" / "series")
    volume = case.volume
    assert volume.geometry.shape == (79, 512, 512)
    assert volume.geometry.spacing_mm == pytest.approx((3.0, 1.07421875, 1.07421875))
    assert (volume.voxels_hu.min(), volume.voxels_hu.max()) == (-1000, 1988)
    assert volume.remarks == ()
    assert _mean_hu(volume, (25.5, 102.0, 317.0), 7.0) == pytest.approx(231, abs=8)
    assert _mean_hu(volume, (-87.0, 38.0, 374.0), 10.0) == pytest.approx(105, abs=3)
    assert case.window == (400.0, 60.0)


def test_the_jpeg2000_slab_has_its_facts(test_data: Path) -> None:
    volume = _open(test_data / "abdomen_slab_j2k").volume
    assert volume.geometry.shape == (20, 512, 512)
    assert volume.geometry.spacing_mm == pytest.approx((2.0, 0.9765625, 0.9765625))
    assert (volume.voxels_hu.min(), volume.voxels_hu.max()) == (-1024, 1839)
    assert volume.unsafe_reasons == ()
    names = {5: "liver", 7: "pancreas", 52: "aorta"}
    path = test_data / "abdomen_slab_j2k_labels" / "totalseg117.nii.gz"
    labels = resample_labels(read_labels(path, names), volume.geometry)
    assert np.count_nonzero(labels.labels == 7) == 1327
    means = {name: volume.voxels_hu[labels.labels == value].mean() for value, name in names.items()}
    assert means["pancreas"] == pytest.approx(61, abs=0.5)
    assert means["aorta"] == pytest.approx(177, abs=0.5)
    assert means["liver"] == pytest.approx(89, abs=0.5)


def test_the_nifti_abdomen_has_its_facts(test_data: Path, tmp_path: Path) -> None:
    volume = read_image(test_data / "abdomen_3mm" / "ct.nii.gz")
    assert volume.geometry.shape == (112, 101, 122)
    assert volume.geometry.spacing_mm == pytest.approx((3.0, 3.0, 3.0))
    assert (volume.voxels_hu.min(), volume.voxels_hu.max()) == (-1207, 3382)
    assert volume.unsafe_reasons == ()
    labels = read_labels(test_data / "abdomen_3mm" / "totalseg117.nii.gz", {7: "pancreas"})
    assert labels.geometry.is_same_as(volume.geometry)
    assert labels.volume_mm3("pancreas") / 1000 == pytest.approx(18.8, abs=0.05)
    mine = LabelMap(labels.labels, labels.names, volume.geometry)
    write_labels(mine, tmp_path / "labels.nii.gz")
    again = read_labels(tmp_path / "labels.nii.gz", {})
    assert again.geometry.is_same_as(volume.geometry)
    np.testing.assert_array_equal(again.labels, labels.labels)
