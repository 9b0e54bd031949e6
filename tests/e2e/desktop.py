"""A display of its own with a window manager, and the hands and eyes of a person at it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

TOOLS = ("Xvfb", "openbox", "xdotool", "import")
# Generous: a machine of the CI has two slow cores, and the engine loads torch on one of them.
PATIENCE_S = 400.0

_ROOT = Path(__file__).resolve().parents[2]


class Desktop:
    """An X server, a window manager, and Islet once it is started.

    Args:
        folder: Stands for the home folder, and takes pictures and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.env = {
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            "ISLET_RESEARCH_USE_ACCEPTED": "1",
            **{f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "DATA", "STATE")},
            "XDG_CACHE_HOME": str(folder / "CACHE"),
        }
        for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
            self.env.pop(name, None)
        self.env["DISPLAY"] = self._start_display()
        self._start("openbox", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_islet(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the program as a user would."""
        with (self.folder / "stderr").open("wb") as errors:
            return self._start(sys.executable, "-m", "app", *arguments, stderr=errors)

    def bring_to_front(self, title: str) -> None:
        """Give the keyboard to the window whose title begins with `title`."""

        def is_in_front() -> bool:
            # The window manager may come up later than the window.
            self.hand("search", "--onlyvisible", "--name", f"^{title}", "windowactivate")
            return self.hand("getactivewindow", "getwindowname").startswith(title)

        self.wait_until(is_in_front, "the window had the keyboard")

    def hand(self, *words: str) -> str:
        """Let xdotool move, click, type or look something up."""
        done = subprocess.run(
            ["xdotool", *words], env=self.env, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def move_to(self, x: int, y: int) -> None:
        """Move the pointer."""
        self.hand("mousemove", "--sync", str(x), str(y))

    def picture(self) -> np.ndarray:
        """Return what the display shows: (rows, columns, 3), 0 to 255."""
        path = self.folder / "shot.png"
        subprocess.run(["import", "-window", "root", str(path)], env=self.env, check=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3].astype(int)

    @property
    def log(self) -> str:
        """What Islet wrote into its log."""
        path = self.folder / "STATE" / "islet" / "log" / "islet.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def stderr(self) -> str:
        """What Islet wrote to the terminal."""
        return (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def wait_until(self, is_so: Callable[[], object], what: str) -> None:
        """Wait for what the program does; fail with its last words where it ended or hangs."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            ended = [process.args for process in self._processes if process.poll() is not None]
            last_words = f"{self.log[-2000:]}\n{self.stderr[-2000:]}"
            assert not ended, f"{ended} ended before {what}:\n{last_words}"
            assert time.monotonic() < deadline, f"waited in vain until {what}:\n{last_words}"
            time.sleep(0.2)

    def shut_down(self) -> None:
        """End everything that was started, the display last."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=30)

    def _start_display(self) -> str:
        reading, writing = os.pipe()
        screen = ("-screen", "0", "1400x900x24", "-nolisten", "tcp")
        self._start(
            "Xvfb", "-displayfd", str(writing), *screen,
            pass_fds=(writing,), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as number:
            return f":{number.readline().strip()}"

    def _start(self, *argv: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, env=self.env, cwd=_ROOT, **options)  # type: ignore[call-overload]
        self._processes.append(process)
        return process
