"""The colours, fonts, spacing and icons of the window."""

from __future__ import annotations

import logging
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication

log = logging.getLogger(__name__)

RESEARCH_USE = "RESEARCH USE ONLY – NOT FOR CLINICAL USE"

BACKGROUND = "#0b0e12"
PANEL = "#151a21"
RAISED = "#1d242d"
BORDER = "#2a333f"
TEXT = "#d7dde5"
QUIET_TEXT = "#94a3b5"
DISABLED_TEXT = "#66727f"
ACCENT = "#4aa8ff"
ON_ACCENT = "#04121f"
WARNING = "#ffc14d"
ON_WARNING = "#241700"
ERROR = "#ff7b72"
SUCCESS = "#5fd38a"
RESEARCH = "#d9a441"

PICTURE = "#000000"
PICTURE_TEXT = "#dfe6ee"
PICTURE_QUIET_TEXT = "#a9b6c4"
LETTER = "#ffffff"
REJECTED = "#8d99a6"
TAG_GROUND = "#cd080b0f"  # alpha first: the picture stays visible through it
GROUND_LOW, GROUND_HIGH = "#05070a", "#161d26"
"""Ends of the gradient behind the three-dimensional view."""

# Grounds of bars and buttons.
BAR = "#10151b"
HOVERED = "#26303b"
CHECKED = "#1f4a70"
DEFAULT_BUTTON = "#1f5f96"

# Charts: their ground, the lines of their grid, and the box under the pointer.
PLOT_GROUND = "#11161c"
PLOT_GRID = "#222a34"
PLOT_READOUT = "#1d242d"
CHOSEN = "#1d3a55"
"""Behind the chosen rows of a list."""

GAP = 2

_FONT_FAMILIES = ("DejaVu Sans", "Segoe UI", "Helvetica Neue", "Noto Sans", "Arial")

# Slicer and OHIF agree on these three.
_PANE_COLOURS = {
    "axial": "#ff6b64",
    "sagittal": "#f2d24b",
    "coronal": "#57d07a",
    "volume": "#8fb2ff",
}

_STRUCTURE_COLOURS = {
    "pancreas": "#f5b83d",
    "lesion": "#ff5470",
    "duct": "#45d6d6",
    "liver": "#b98a6a",
    "spleen": "#a583d6",
    "stomach": "#d69a6b",
    "duodenum": "#c9b458",
    "aorta": "#ff7a5c",
    "veins": "#6fa2ff",
    "kidneys": "#c77f9b",
    "bone": "#e4dcc8",
    "body": "#c9b6a6",
}
# For structures without a colour of their own: apart from each other, and from the lesion's red.
_OTHER_COLOURS = (
    "#7fc8f8", "#9bd770", "#e0a3e8", "#f0d080", "#7fe0c0", "#c0c8ff", "#d8b090", "#a8d8a0",
)  # fmt: skip

# Okabe and Ito, 2008, made lighter where dark ground asks for it: apart for colour-blind readers.
_LINE_COLOURS = (
    "#56b4e9", "#e69f00", "#35c296", "#e07bb4", "#f0e442", "#ff7f50", "#8d9bff", "#c3ccd6",
)  # fmt: skip
NUM_LINE_COLOURS = len(_LINE_COLOURS)
"""Lines that are told apart by their colour alone."""

# Texts come from files and from other hospitals: what looks like a tag is shown as it is.
_STYLE = f"""
QLabel {{ qproperty-textFormat: PlainText; }}
QToolTip {{ color: {TEXT}; background: {RAISED}; border: 1px solid {BORDER}; padding: 4px; }}
QToolBar {{ border: 0; spacing: 4px; padding: 4px; background: {BAR}; }}
QToolButton {{ padding: 5px 8px; border-radius: 5px; }}
QToolButton:hover {{ background: {HOVERED}; }}
QToolButton:checked {{ background: {CHECKED}; }}
QDockWidget::title {{ background: {BAR}; padding: 6px; }}
QTreeView, QTableView, QListView {{ border: 0; }}
QHeaderView::section {{ background: {BAR}; border: 0; padding: 4px; color: {QUIET_TEXT}; }}
QStatusBar {{ background: {BAR}; color: {QUIET_TEXT}; }}
QSplitter::handle {{ background: #05070a; }}
QProgressBar {{ border: 0; background: {BACKGROUND}; border-radius: 3px; text-align: center; }}
QProgressBar::chunk {{ background: #2f78b7; border-radius: 3px; }}
QPushButton {{ padding: 5px 12px; border-radius: 5px; border: 1px solid {BORDER};
  background: {RAISED}; }}
QPushButton:hover {{ background: {HOVERED}; }}
QPushButton:default {{ background: {DEFAULT_BUTTON}; border-color: #2f78b7; }}
QPushButton:disabled {{ color: {DISABLED_TEXT}; }}
"""


def apply_theme(app: QApplication) -> None:
    """Give the whole application the dark look."""
    app.setStyle("Fusion")
    app.styleHints().setColorScheme(Qt.ColorScheme.Dark)
    app.setPalette(dark_palette())
    app.setStyleSheet(_STYLE)
    app.setWindowIcon(app_icon())


def dark_palette() -> QPalette:
    """Return the palette of the dark theme."""
    role = QPalette.ColorRole
    palette = QPalette()
    for which, colour in (
        (role.Window, PANEL),
        (role.WindowText, TEXT),
        (role.Base, BACKGROUND),
        (role.AlternateBase, "#11161c"),
        (role.Text, TEXT),
        (role.Button, RAISED),
        (role.ButtonText, TEXT),
        (role.BrightText, ERROR),
        (role.Highlight, ACCENT),
        (role.HighlightedText, ON_ACCENT),
        (role.ToolTipBase, RAISED),
        (role.ToolTipText, TEXT),
        (role.PlaceholderText, QUIET_TEXT),
        (role.Link, ACCENT),
        (role.Accent, ACCENT),
        (role.Light, BORDER),
        (role.Mid, "#10151a"),
        (role.Dark, "#090c10"),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(DISABLED_TEXT))
    return palette


def picture_font(pixels: int = 12, *, bold: bool = False) -> QFont:
    """Return the font of text inside a picture, sized in device independent pixels."""
    font = QFont()
    font.setFamilies(list(_FONT_FAMILIES))
    font.setPixelSize(pixels)
    font.setBold(bold)
    return font


def pane_colour(name: str) -> QColor:
    """Return the colour of a pane: "axial", "coronal", "sagittal" or "volume"."""
    return QColor(_PANE_COLOURS[name])


def structure_colour(structure: str) -> QColor:
    """Return the colour of a structure; the same name always has the same colour."""
    known = _STRUCTURE_COLOURS.get(structure.lower())
    if known is None:
        known = _OTHER_COLOURS[sum(structure.encode()) % len(_OTHER_COLOURS)]
    return QColor(known)


def line_colour(number: int) -> str:
    """Return the colour of line `number` of a chart, counted from 0; they repeat after eight."""
    return _LINE_COLOURS[number % len(_LINE_COLOURS)]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    light, dark = sorted((_luminance(QColor(one)), _luminance(QColor(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def icon(name: str, colour: str = "#c9d3df") -> QIcon:
    """Return an icon of Material Design Icons 6, e.g. `icon("folder-open-outline")`.

    Where the icon font cannot be loaded, a plain dot keeps the button usable.
    """
    import qtawesome  # loads fonts: not needed where the theme is only asked for colours

    try:
        # Asked first because qtawesome.icon raises a bare Exception.
        qtawesome.charmap(f"mdi6.{name}")
    except (KeyError, OSError) as error:
        log.warning("No icon '%s': %s", name, error)
        return _plain_icon(colour)
    return qtawesome.icon(f"mdi6.{name}", color=colour, color_disabled="#4b5563")


def app_icon() -> QIcon:
    """Return the icon of the application."""
    return QIcon(str(Path(__file__).resolve().parent.parent / "resources" / "icons" / "islet.svg"))


def _plain_icon(colour: str) -> QIcon:
    pixmap = QPixmap(32, 32)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(10, 10, 12, 12)
    painter.end()
    return QIcon(pixmap)


def _luminance(colour: QColor) -> float:
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
