from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QImage
from PySide6.QtWidgets import QDialog, QFileDialog

from app.controllers.serve_window import ServeWindow
from tests.app.controllers.conftest import FakeWindow


class Desk:
    """The server of a window whose panes are one grey picture."""

    def __init__(self, window: FakeWindow, log_folder: Path) -> None:
        picture = QImage(20, 10, QImage.Format.Format_RGB32)
        picture.fill(0xFF808080)
        window.grid = Mock()
        window.grid.grab_picture.return_value = picture
        self.show_error = Mock()
        self.server = ServeWindow(window, log_folder, show_error=self.show_error)

    def do(self, action_id: str) -> None:
        self.server.verbs()[action_id]()


@pytest.fixture
def desk(fake_window: FakeWindow, tmp_path: Path) -> Desk:
    return Desk(fake_window, tmp_path / "log")


def _choose(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (path, ""))


def test_the_picture_of_the_panes_is_saved_where_the_user_says(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choose(monkeypatch, str(tmp_path / "panes.png"))
    desk.do("case.picture")
    assert QImage(str(tmp_path / "panes.png")).width() == 20
    desk.show_error.assert_not_called()


def test_nothing_is_saved_where_the_user_names_no_file(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choose(monkeypatch, "")
    desk.do("case.picture")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_told(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choose(monkeypatch, str(tmp_path / "missing" / "panes.png"))
    desk.do("case.picture")
    (error,) = desk.show_error.call_args.args
    assert error.message == "The picture could not be written."
    assert error.remedy == "Choose a folder you may write to, and a name that ends in .png."


def test_the_log_folder_is_opened(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    desk.do("help.log")
    assert [Path(url.toLocalFile()) for url in opened] == [tmp_path / "log"]


@pytest.mark.parametrize(
    ("action_id", "title"), [("help.keys", "Keys and mouse"), ("help.about", "Islet")]
)
def test_help_opens_its_sheet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, action_id: str, title: str
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDialog, "exec", lambda dialog: opened.append(dialog.windowTitle()))
    desk.do(action_id)
    assert opened[0].startswith(title)


def test_quitting_closes_the_window(desk: Desk, fake_window: FakeWindow) -> None:
    fake_window.show()
    desk.do("app.quit")
    assert not fake_window.isVisible()
