"""A person at a real display: open, scroll, analyse, click a finding, close."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

_ROOT = Path(__file__).resolve().parents[2]
_START = Path(__file__).with_name("start_with_sham.py")
_PATIENCE_S = 90.0
_TOOLS = ("Xvfb", "openbox", "xdotool", "import")

pytestmark = [
    pytest.mark.display,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in _TOOLS),
        reason=f"These programs are needed for a real display: {', '.join(_TOOLS)}.",
    ),
]


class Desktop:
    """A display of its own with a window manager, and hands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONFAULTHANDLER": "1",
            "ISLET_RESEARCH_USE_ACCEPTED": "1",
            **{f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "DATA", "STATE")},
            "XDG_CACHE_HOME": str(folder / "CACHE"),
        }
        for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
            self.env.pop(name, None)
        reading, writing = os.pipe()
        self._processes = [
            subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x900x24", "-nolisten",
                 "tcp"],
                pass_fds=(writing,),
                stderr=subprocess.DEVNULL,
            )
        ]  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as number:
            self.env["DISPLAY"] = f":{number.readline().strip()}"
        self._processes.append(
            subprocess.Popen(
                ["openbox"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, str(_START), *arguments], env=self.env, stderr=errors
            )
        self._processes.append(process)
        return process

    def hand(self, *words: str) -> str:
        done = subprocess.run(
            ["xdotool", *words], env=self.env, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    @property
    def log(self) -> str:
        path = self.folder / "STATE" / "islet" / "log" / "islet.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def picture(self) -> np.ndarray:
        path = self.folder / "shot.png"
        subprocess.run(["import", "-window", "root", str(path)], env=self.env, check=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)

    def shut_down(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=20)


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    desktop = Desktop(tmp_path)
    yield desktop
    desktop.shut_down()


def _wait_until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.2)


def _write_ct(folder: Path) -> Path:
    """Write a small body with a bright column on the patient's left."""
    hu = np.full((40, 96, 96), -1000, np.int16)
    hu[:, 10:86, 6:90] = 40
    hu[:, 40:56, 60:70] = 300
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((3.0, 3.0, 3.0))
    path = folder / "ct.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def _share_of_lesion_red(picture: np.ndarray) -> float:
    red, green, blue = np.moveaxis(picture, -1, 0)
    return float(((red > 220) & (abs(green - 84) < 25) & (abs(blue - 112) < 25)).mean())


def test_a_reader_opens_scrolls_analyses_clicks_a_finding_and_leaves(
    desktop: Desktop, tmp_path: Path
) -> None:
    process = desktop.start(str(_write_ct(tmp_path)), "--size", "1300x820")
    _wait_until(lambda: "Opened case-" in desktop.log, "the case was open")
    desktop.hand("search", "--sync", "--onlyvisible", "--name", "^Islet")
    desktop.hand("search", "--onlyvisible", "--name", "^Islet", "windowactivate", "--sync")
    _wait_until(lambda: (desktop.picture() > 0).mean() > 0.5, "the window was drawn")
    before = desktop.picture()

    desktop.hand("key", "End")
    _wait_until(lambda: (desktop.picture() != before).any(), "the End key changed the picture")
    # The axial pane has a red mark of its own, a few pixels large.
    assert _share_of_lesion_red(desktop.picture()) < 0.0005

    desktop.hand("key", "ctrl+Return")
    _wait_until(lambda: "analyse took" in desktop.log, "the case was analysed")
    desktop.hand("key", "n")
    _wait_until(lambda: _share_of_lesion_red(desktop.picture()) > 0.001, "masks were drawn")

    desktop.hand("key", "Return")
    reviews = tmp_path / "DATA" / "islet" / "reviews"
    _wait_until(lambda: _saved(reviews).count("confirmed") == 1, "the acceptance was saved")

    desktop.hand("key", "ctrl+q")
    assert process.wait(timeout=_PATIENCE_S) == 0
    assert "Fatal Python error" not in desktop.stderr
    assert "Traceback" not in desktop.stderr
    assert str(tmp_path) not in desktop.log


def _saved(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.json"))
