from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from app import theme


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        (theme.TEXT, theme.PANEL),
        (theme.TEXT, theme.RAISED),
        (theme.QUIET_TEXT, theme.PANEL),
        (theme.QUIET_TEXT, theme.BACKGROUND),
        (theme.RESEARCH, theme.BACKGROUND),
        (theme.PICTURE_QUIET_TEXT, theme.PICTURE),
        (theme.ON_WARNING, theme.WARNING),
        (theme.ON_ACCENT, theme.ACCENT),
        (theme.ERROR, theme.PANEL),
        (theme.SUCCESS, theme.PANEL),
        (theme.WARNING, theme.PANEL),
        (theme.QUIET_TEXT, theme.RAISED),
        (theme.QUIET_TEXT, theme.BAR),
        (theme.TEXT, theme.BAR),
        (theme.TEXT, theme.HOVERED),
        (theme.TEXT, theme.CHECKED),
        (theme.TEXT, theme.DEFAULT_BUTTON),
        (theme.PICTURE_QUIET_TEXT, theme.GROUND_HIGH),
        (theme.QUIET_TEXT, theme.GROUND_HIGH),
    ],
)
def test_text_stands_out_from_its_ground(text, ground):
    assert theme.contrast(text, ground) >= 4.5


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal", "volume"])
def test_pane_colours_are_readable_on_the_strip(name):
    assert theme.contrast(theme.pane_colour(name).name(), theme.BACKGROUND) >= 4.5


@pytest.mark.parametrize("structure", ["pancreas", "lesion", "duct", "liver", "gallbladder"])
def test_a_label_is_readable_on_its_own_colour_and_on_its_dark_ground(structure):
    colour = theme.structure_colour(structure)
    assert theme.contrast(theme.ON_ACCENT, colour.name()) >= 4.5
    ground = QColor(theme.TAG_GROUND)
    # Over tissue that is white in the window, the darkest ground a label can get.
    over_white = round(ground.redF() * ground.alpha() + 255 - ground.alpha())
    shown = QColor(over_white, over_white, over_white)
    assert theme.contrast(colour.lighter(115).name(), shown.name()) >= 4.5


def test_contrast_is_that_of_wcag():
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21.0)


def test_a_structure_always_has_the_same_colour_and_the_lesion_is_not_the_pancreas():
    assert theme.structure_colour("gallbladder") == theme.structure_colour("gallbladder")
    assert theme.structure_colour("lesion") != theme.structure_colour("pancreas")


def test_icons_are_drawn_and_a_missing_one_becomes_a_dot(qapp, caplog):
    assert not theme.icon("folder-open-outline").isNull()
    assert not theme.icon("there-is-no-such-icon").pixmap(16, 16).isNull()
    assert "there-is-no-such-icon" in caplog.text


def test_the_application_has_an_icon(qapp):
    assert not theme.app_icon().pixmap(32, 32).isNull()


def test_a_text_that_looks_like_a_tag_is_shown_as_it_is(qtbot: QtBot, qapp: QApplication) -> None:
    style = qapp.styleSheet()
    theme.apply_theme(qapp)
    try:
        label = QLabel("<b>north</b>")
        qtbot.addWidget(label)
        label.ensurePolished()
        assert label.textFormat() is Qt.TextFormat.PlainText
    finally:
        qapp.setStyleSheet(style)
