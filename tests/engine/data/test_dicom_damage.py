"""Damaged files are said, and never raise anything but an IsletError."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, RLELossless

from engine.data.dicom import find_series, read_volume
from engine.errors import IsletError
from tests.engine.data.series_factory import geometry_of, write_enhanced, write_series

# OpenJPEG does not encode anything narrower than 32 pixels.
SMALL = geometry_of(shape=(6, 32, 32))
_TINY = geometry_of(shape=(3, 8, 8))
_LEAST_J2K = geometry_of(shape=(3, 32, 32))


@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, RLELossless])
def test_a_slice_cut_short_is_shown_empty_and_blocks(syntax: str | None, tmp_path: Path) -> None:
    write_series(tmp_path, SMALL, syntax=syntax)
    path = tmp_path / "IM0003"
    path.write_bytes(path.read_bytes()[:-300])
    (series,) = find_series(tmp_path)
    volume = read_volume(series)
    assert volume.unsafe_reasons == ("1 slice is cut short or damaged, and shown empty.",)
    assert (volume.voxels_hu[2] == -1024).all()
    assert (volume.voxels_hu[3] > -1024).any()


def test_a_multi_frame_file_cut_short_keeps_nothing_wrong(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, SMALL) / "enhanced"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(IsletError, match="cut short"):
        read_volume(*find_series(tmp_path))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_never_raise_anything_but_islet_errors(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    whole = _SEEDS[data.draw(st.sampled_from(sorted(_SEEDS)))]
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255))
    write_series(folder, _TINY)
    (folder / "damaged").write_bytes(bytes(content))
    for series in find_series(folder):
        with contextlib.suppress(IsletError):
            read_volume(series)


def _seeds(folder: Path) -> dict[str, bytes]:
    plain = write_series(folder / "plain", _TINY, numbers=[1]) / "IM0001"
    packed = write_series(folder / "rle", _TINY, numbers=[1], syntax=RLELossless) / "IM0001"
    j2k = write_series(folder / "j2k", _LEAST_J2K, numbers=[1], syntax=JPEG2000Lossless) / "IM0001"
    enhanced = write_enhanced(folder / "enhanced", _TINY) / "enhanced"
    files = {"plain": plain, "rle": packed, "j2k": j2k, "enhanced": enhanced}
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture(autouse=True, scope="module")
def _make_seeds(tmp_path_factory: pytest.TempPathFactory) -> None:
    _SEEDS.update(_seeds(tmp_path_factory.mktemp("seeds")))


_SEEDS: dict[str, bytes] = {}
