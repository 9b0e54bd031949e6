"""`islet check` and `islet prepare`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.archive.registered import register
from engine.cli import main
from engine.data.store import read_store, stored_ids
from tests.engine.archive.runs_made import finished_run
from tests.engine.data.tiny_dataset import write_tiny


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "data")


def _prepare(data: Path, out: Path, *more: str) -> int:
    size = ("--system", "starter", "--size", "toy")
    return main(["prepare", "--data", str(data), *size, "--out", str(out), *more])


def test_a_registered_system_is_prepared_for_by_its_name(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    finished_run(tmp_path / "run")
    register(tmp_path / "run", "mine")
    where = ("--data", str(data), "--out", str(tmp_path / "store"), "--workers", "1")
    assert main(["prepare", *where, "--system", "mine"]) == 0
    assert "mine: 4 of 4 cases prepared" in capsys.readouterr().err.replace("\n", " ")


def test_a_whole_data_set_passes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(data)]) == 0
    assert "none broken." in capsys.readouterr().err


def test_a_broken_data_set_ends_with_two_and_a_table(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "labelsTr" / "b.nii.gz").unlink()
    assert main(["check", str(data)]) == 2
    said = capsys.readouterr()
    assert "missing labels" in said.out
    assert "1 broken." in said.err


def test_the_problems_are_said_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "labelsTr" / "b.nii.gz").unlink()
    assert main(["check", str(data), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["num_cases"], report["num_broken"]) == (4, 1)
    assert report["problems"][0]["kind"] == "missing labels"


def test_preparation_fills_a_store_and_goes_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    assert _prepare(data, out, "--workers", "1") == 0
    said = capsys.readouterr()
    assert "starter: 4 of 4 cases prepared" in said.err.replace("\n", " ")
    assert "Spacing of slices (mm)" in said.out
    assert [case.subtype for case in read_store(out)] == [0, 1, 2, None]
    assert len(read_store(out / "starter_localiser")) == 4
    assert _prepare(data, out, "--workers", "1") == 0
    assert "starter: 0 of 4 cases prepared" in capsys.readouterr().err.replace("\n", " ")


def test_broken_cases_are_refused_or_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "labelsTr" / "b.nii.gz").unlink()
    out = tmp_path / "store"
    assert _prepare(data, out) == 2
    assert "b: The case has no label file." in capsys.readouterr().err
    assert not out.exists()
    assert _prepare(data, out, "--skip-broken", "--workers", "1") == 0
    assert stored_ids(out) == ("a", "c", "d")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT between processes.")
def test_ctrl_c_ends_preparation_at_once_and_keeps_whole_cases(tmp_path: Path) -> None:
    data = write_tiny(tmp_path / "data", 40)
    out = tmp_path / "store"
    command = [sys.executable, "-m", "engine.cli", "prepare", "--data", str(data)]
    more = ["--system", "starter", "--size", "toy", "--out", str(out), "--workers", "2"]
    program = subprocess.Popen(
        [*command, *more], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    first = out / "starter_localiser"
    while len(stored_ids(first)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    children = psutil.Process(program.pid).children()
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "The cases that are ready are kept" in said
    assert "Traceback" not in said
    assert "leaked" not in said
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    assert 2 <= len(read_store(first)) <= 40
