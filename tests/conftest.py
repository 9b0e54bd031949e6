"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of openly licensed CT used in tests, or skip where it is missing."""
    folder = Path(os.environ.get("ISLET_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip("The test CTs are missing; set ISLET_TEST_DATA to their folder.")
    return folder


@pytest.fixture(autouse=True)
def _private_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep what tests remember out of the home folder."""
    base = tmp_path_factory.getbasetemp() / "home"
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        folder = base / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(name, str(folder))
