"""Says what Islet is, its version, its licence and what it is not for."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from PySide6.QtWidgets import QLabel, QWidget

from app import theme
from app.dialogs.frame import Buttons, FramedDialog
from app.dialogs.research_use import TERMS
from app.panels import parts


class AboutDialog(FramedDialog):
    """The about box."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent, f"Islet {islet_version()}", Buttons.Close)
        mark = QLabel(theme.RESEARCH_USE)
        mark.setProperty("role", "research")
        lines = (
            "A desktop viewer of pancreatic CT with a multi-task engine.",
            *TERMS,
            "Apache License 2.0. Built with Qt, PySide6, VTK, PyVista, PyTorch, pydicom, "
            "SimpleITK, NumPy and SciPy under their own licences.",
        )
        for line in lines:
            self.body.addWidget(parts.quiet(line))
        mark.setStyleSheet("padding: 0;")
        self.body.addWidget(mark)
        self.body.addStretch(1)


def islet_version() -> str:
    """Return the installed version; empty in a bare source tree."""
    try:
        return version("islet")
    except PackageNotFoundError:
        return ""
