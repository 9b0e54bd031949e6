from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import __main__ as start

_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("size", ["wide", "1600", "0x900", "-5x5", "x"])
def test_a_size_that_is_none_is_refused_before_anything_opens(
    size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start.main([f"--size={size}"]) == 2
    message, remedy = capsys.readouterr().err.splitlines()
    assert message == f"The size '{size}' is not understood."
    assert remedy == "Give width and height in pixels, e.g. --size 1600x1000."


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere there is always a display.")
def test_without_a_display_a_window_is_refused_but_a_picture_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    # Set first, so that what the program sets is undone as well.
    monkeypatch.setenv("QT_QPA_PLATFORM", "")
    monkeypatch.delenv("QT_QPA_PLATFORM")
    assert start.main([]) == 2
    message, remedy = capsys.readouterr().err.splitlines()
    assert message == "There is no display to open a window on."
    assert remedy.endswith("or use --screenshot to write a picture.")
    start._choose_platform(for_picture=True)
    assert os.environ["QT_QPA_PLATFORM"] == "offscreen"


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        start.main(["--analyze"])
    assert left.value.code == 2
    assert "--analyze" in capsys.readouterr().err


def test_the_engine_is_another_role_of_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve() -> None:
        raise SystemExit(7)

    monkeypatch.setattr("engine.worker.main", serve)
    with pytest.raises(SystemExit) as left:
        start.main(["--engine"])
    assert left.value.code == 7


def test_a_picture_of_a_missing_file_ends_with_words_and_code_2(tmp_path: Path) -> None:
    done = _run(str(tmp_path / "missing.nii.gz"), "--screenshot", str(tmp_path / "islet.png"))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "The file or folder does not exist.",
        "Check the name, or choose it in the open dialog.",
    ]
    assert not (tmp_path / "islet.png").exists()


def test_an_unknown_system_ends_with_a_hint_and_code_2(tmp_path: Path) -> None:
    done = _run("--system", "stater", "--screenshot", str(tmp_path / "islet.png"))
    assert done.returncode == 2
    assert "starter" in done.stderr
    assert "Traceback" not in done.stderr


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=_ROOT, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
