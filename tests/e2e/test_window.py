"""A person at a real display: open, scroll, analyse, click a finding, review it, close."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PySide6.QtGui import QColor

from app import theme
from tests.e2e.desktop import PATIENCE_S, TOOLS, Desktop

_SAMPLE = Path(__file__).resolve().parents[2] / "resources" / "sample" / "phantom.nii.gz"
_LESION = theme.structure_colour("lesion")
_PROPOSED = QColor(theme.WARNING)

pytestmark = [
    pytest.mark.display,
    pytest.mark.timeout(4 * PATIENCE_S),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS),
        reason=f"These programs are needed for a real display: {', '.join(TOOLS)}.",
    ),
]


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    desktop = Desktop(tmp_path)
    yield desktop
    desktop.shut_down()


def test_a_reader_opens_scrolls_analyses_clicks_a_finding_and_leaves(desktop: Desktop) -> None:
    islet = desktop.start_islet(str(_SAMPLE), "--size", "1300x820")
    desktop.wait_until(lambda: "Opened case-" in desktop.log, "the case was open")
    desktop.bring_to_front("Islet")
    desktop.wait_until(lambda: _is_drawn(desktop.picture()), "the panes were drawn")
    _check_scrolling(desktop)
    _check_analysis(desktop)
    _check_click_on_finding(desktop)
    _check_review(desktop)
    engines = psutil.Process(islet.pid).children(recursive=True)
    assert [_loads_torch(engine.pid) for engine in engines] == [True]
    assert not _loads_torch(islet.pid), "the window's process loaded torch"
    _check_leaving(desktop, islet, engines)


def _check_scrolling(desktop: Desktop) -> None:
    left, bottom = _corner_of(desktop.picture(), "axial")
    desktop.move_to(left + 150, bottom - 150)
    before = _slice_text(desktop.picture(), "axial")
    desktop.hand("click", "--repeat", "5", "5")
    desktop.wait_until(
        lambda: (_slice_text(desktop.picture(), "axial") != before).any(),
        "the wheel changed the slice",
    )
    desktop.hand("click", "--repeat", "5", "4")
    desktop.wait_until(
        lambda: (_slice_text(desktop.picture(), "axial") == before).all(),
        "the wheel brought the slice back",
    )


def _check_analysis(desktop: Desktop) -> None:
    desktop.hand("key", "ctrl+Return")
    desktop.wait_until(lambda: re.search(r"infer took \d", desktop.log), "the case was analysed")
    desktop.wait_until(lambda: _card_bars(desktop.picture()), "a finding was listed")


def _check_click_on_finding(desktop: Desktop) -> None:
    """Go far away from the finding, click its card, and see the panes jump to it."""
    desktop.hand("key", "End")
    desktop.wait_until(
        lambda: _amount_of(_LESION, _pane(desktop.picture(), "axial")) == 0,
        "the axial pane was far from the finding",
    )
    before = desktop.picture()
    x, y = _card_bars(before)[0]
    desktop.move_to(x, y)
    desktop.hand("click", "1")
    desktop.wait_until(
        lambda: _amount_of(_LESION, _pane(desktop.picture(), "axial")) > 100,
        "the axial pane showed the finding",
    )
    after = desktop.picture()
    for name in ("axial", "sagittal"):
        assert (_slice_text(after, name) != _slice_text(before, name)).any(), name


def _check_review(desktop: Desktop) -> None:
    desktop.hand("key", "Return")
    reviews = desktop.folder / "DATA" / "islet" / "reviews"
    desktop.wait_until(
        lambda: sum(path.read_text().count("confirmed") for path in reviews.glob("*.json")) == 1,
        "the acceptance was saved",
    )


def _check_leaving(
    desktop: Desktop, islet: subprocess.Popen[bytes], engines: list[psutil.Process]
) -> None:
    desktop.hand("key", "ctrl+q")
    assert islet.wait(timeout=PATIENCE_S) == 0
    assert not any(engine.is_running() for engine in engines), "the engine outlived the window"
    for word in ("Fatal Python error", "Traceback", "INFO"):
        assert word not in desktop.stderr
    # What is opened may be named after a patient.
    assert _SAMPLE.name not in desktop.log


def _loads_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def _is_drawn(picture: np.ndarray) -> bool:
    # Empty panes have their marks as well, but no text above them.
    return all(
        _places_of(theme.pane_colour(name), picture).any()
        and (_slice_text(picture, name) > 200).any()
        for name in ("axial", "sagittal")
    )


def _corner_of(picture: np.ndarray, pane: str) -> tuple[int, int]:
    """Return (x, y) of the lower left of a pane, where its mark has its colour.

    Crosshairs have the colours of other panes, but none begins further left.
    """
    rows, columns = np.nonzero(_places_of(theme.pane_colour(pane), picture))
    first = columns.argmin()
    return int(columns[first]), int(rows[first])


def _slice_text(picture: np.ndarray, pane: str) -> np.ndarray:
    """Return the surroundings of the words "Slice n/N", above the mark of the pane."""
    left, bottom = _corner_of(picture, pane)
    return picture[bottom - 24 : bottom - 4, left : left + 110]


def _pane(picture: np.ndarray, pane: str) -> np.ndarray:
    left, bottom = _corner_of(picture, pane)
    return picture[bottom - 300 : bottom - 20, left : left + 330]


def _card_bars(picture: np.ndarray) -> list[tuple[int, int]]:
    """Return (x, y) on the probability bar of every undecided finding, from above."""
    matches = _places_of(_PROPOSED, picture)
    # No letter is as long as a bar.
    rows = np.nonzero(matches.sum(axis=1) > 40)[0]
    return [(int(np.nonzero(matches[row])[0][20]), int(row)) for row in rows]


def _amount_of(colour: QColor, picture: np.ndarray) -> int:
    return int(_places_of(colour, picture).sum())


def _places_of(colour: QColor, picture: np.ndarray) -> np.ndarray:
    return (picture == colour.getRgb()[:3]).all(axis=-1)
