"""Islet as it is, but for the engine, which is the sham one."""

from __future__ import annotations

import sys
from pathlib import Path

from app.__main__ import main

_SHAM = Path(__file__).with_name("sham_engine.py")


def start(argv: list[str]) -> int:
    # Loaded before Qt is needed, as in app.__main__.
    import app.tasks.engine_process as engine_process
    from app.panels.systems import SystemsPanel

    engine_process.engine_command = lambda: (sys.executable, str(_SHAM))
    SystemsPanel.can_analyse = lambda _self, _name: True
    return main(argv)


if __name__ == "__main__":
    code = start(sys.argv[1:])
    assert "torch" not in sys.modules, "the window's process loaded torch"
    sys.exit(code)
