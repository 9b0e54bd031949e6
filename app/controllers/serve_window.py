"""The commands of the program itself: help, about, log, picture, quit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog

from app.dialogs.about import AboutDialog
from app.dialogs.keys import KeysDialog
from app.main_window import MainWindow
from engine.errors import IsletError


class PictureError(IsletError):
    """A picture that cannot be written."""

    def __init__(self) -> None:
        super().__init__(
            "The picture could not be written.",
            remedy="Choose a folder you may write to, and a name that ends in .png.",
        )


class ServeWindow(QObject):
    """Answers the help menu and saves pictures.

    Args:
        window: The window.
        log_folder: Where the log is.
        show_error: Tells the user what went wrong.
    """

    def __init__(
        self, window: MainWindow, log_folder: Path, *, show_error: Callable[[IsletError], None]
    ) -> None:
        super().__init__(window)
        self._window = window
        self._log_folder = log_folder
        self._show_error = show_error

    def verbs(self) -> dict[str, Callable[[], object]]:
        """Return what this controller does, by action."""
        return {
            "help.keys": lambda: KeysDialog(self._window).exec(),
            "help.about": lambda: AboutDialog(self._window).exec(),
            "help.log": lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._log_folder))),
            "case.picture": self._choose_picture,
            "app.quit": self._window.close,
        }

    def _choose_picture(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self._window, "Save picture", str(Path.home() / "islet.png"), "PNG (*.png)"
        )
        if chosen and not self._window.grid.grab_picture().save(chosen):
            self._show_error(PictureError())
