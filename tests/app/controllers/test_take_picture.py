from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from app.controllers.take_picture import TakePicture
from app.session import Session
from tests.app.controllers.conftest import FakeWindow
from tests.app.make import make_case, make_prediction


class Settler(QObject):
    """An opener or an analyser that settles when a test says so."""

    settled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.open = Mock()
        self.analyse = Mock()


class Studio:
    """A picture to be taken of an empty window."""

    def __init__(self, window: FakeWindow) -> None:
        self.session = Session()
        self.opener, self.analyser = Settler(), Settler()
        self.on_done, self.show_error = Mock(), Mock()
        self.picture = TakePicture(
            self.session, window, self.opener, self.analyser,
            on_done=self.on_done, show_error=self.show_error,
        )  # fmt: skip

    def wait(self, qtbot: QtBot) -> None:
        qtbot.waitUntil(lambda: self.on_done.call_count == 1, timeout=60_000)


@pytest.fixture
def studio(fake_window: FakeWindow) -> Studio:
    fake_window.resize(64, 48)
    return Studio(fake_window)


def test_an_empty_window_is_saved_where_nothing_is_to_be_opened(
    studio: Studio, qtbot: QtBot, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "islet.png"
    studio.picture.start(target, None, analyse=False)
    studio.wait(qtbot)
    picture = QImage(str(target))
    assert (picture.width(), picture.height()) == (64, 48)
    studio.show_error.assert_not_called()


def test_a_case_is_saved_as_soon_as_it_is_open(
    studio: Studio, qtbot: QtBot, tmp_path: Path
) -> None:
    studio.picture.start(tmp_path / "islet.png", Path("/data"), analyse=False)
    studio.opener.open.assert_called_once_with(Path("/data"))
    studio.session.open_case(make_case())
    studio.opener.settled.emit()
    studio.wait(qtbot)
    assert (tmp_path / "islet.png").exists()
    studio.analyser.analyse.assert_not_called()


def test_an_analysed_case_is_saved_at_its_first_finding(
    studio: Studio, qtbot: QtBot, tmp_path: Path
) -> None:
    studio.picture.start(tmp_path / "islet.png", Path("/data"), analyse=True)
    studio.session.open_case(make_case())
    studio.opener.settled.emit()
    studio.analyser.analyse.assert_called_once_with()
    assert not (tmp_path / "islet.png").exists()
    studio.session.show_prediction(make_prediction())
    studio.analyser.settled.emit()
    studio.wait(qtbot)
    assert (tmp_path / "islet.png").exists()
    assert studio.session.selected == studio.session.findings[0]


@pytest.mark.parametrize("analyse", [True, False])
def test_no_picture_is_made_of_a_case_that_does_not_open(
    studio: Studio, tmp_path: Path, analyse: bool
) -> None:
    studio.picture.start(tmp_path / "islet.png", Path("/data"), analyse=analyse)
    studio.opener.settled.emit()
    studio.on_done.assert_called_once_with()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(
    studio: Studio, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    studio.picture.start(tmp_path / "file" / "islet.png", None, analyse=False)
    studio.wait(qtbot)
    (error,) = studio.show_error.call_args.args
    assert error.message == "The picture could not be written."
