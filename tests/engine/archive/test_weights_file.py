from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from engine.archive.weights_file import copy_renamed, count_parameters

_TENSORS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "whole": np.linspace(0, 1, 7, dtype=np.float32),
}


def _write(path: Path, about: str = '{"format": "f", "system": "old"}') -> None:
    save_file(_TENSORS, path, metadata={"islet": about})


@pytest.mark.parametrize("name", ["n", "new", "a much longer name than the one before"])
def test_a_renamed_copy_differs_in_its_name_alone(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "one")
    copy_renamed(tmp_path / "one", tmp_path / "two", name)
    back = load_file(tmp_path / "two")
    assert set(back) == set(_TENSORS)
    for key, tensor in _TENSORS.items():
        np.testing.assert_array_equal(back[key], tensor)
    with safe_open(tmp_path / "two", framework="np") as file:
        assert file.metadata() == {"islet": f'{{"format": "f", "system": "{name}"}}'}


def test_parameters_are_counted_without_reading_them(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    assert count_parameters(tmp_path / "one") == 13


@pytest.mark.parametrize(
    "content",
    [b"", b"\x01", struct.pack("<Q", 10) + b"{", struct.pack("<Q", 2) + b"[]", b"\xff" * 20],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one").write_bytes(content)
    assert count_parameters(tmp_path / "one") is None
    with pytest.raises(ValueError, match=r".+"):
        copy_renamed(tmp_path / "one", tmp_path / "two", "new")
    assert not (tmp_path / "two").exists()


def test_tensors_of_another_program_are_refused(tmp_path: Path) -> None:
    save_file(_TENSORS, tmp_path / "one")
    with pytest.raises(ValueError, match="Islet"):
        copy_renamed(tmp_path / "one", tmp_path / "two", "new")
    assert count_parameters(tmp_path / "missing") is None
