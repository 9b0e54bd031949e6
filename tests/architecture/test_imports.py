"""Who may import whom, and what must stay light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

_HEAVY = ("torch", "monai", "PySide6", "vtkmodules", "pyvista", "SimpleITK")


def _heavy_after_import(module: str) -> list[str]:
    """Import `module` in a fresh interpreter and return the heavy packages it loaded."""
    program = (
        f"import importlib, json, sys; importlib.import_module({module!r}); "
        f"sys.stdout.write(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_loads_nothing_heavy() -> None:
    assert _heavy_after_import("engine.cli") == []


@pytest.mark.parametrize(
    "module",
    [
        "engine.case",
        "engine.finding",
        "engine.run",
        "engine.catalogue",
        "engine.system_json",
        "engine.archive.registered",
    ],
)
def test_nouns_and_catalogue_load_nothing_heavy(module: str) -> None:
    assert _heavy_after_import(module) == []


@pytest.mark.parametrize("module", ["app.main_window", "app.__main__"])
def test_the_window_never_loads_torch(module: str) -> None:
    assert find_spec(module) is not None

    assert not {"torch", "monai"} & set(_heavy_after_import(module))
