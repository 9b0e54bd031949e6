"""The sheet of keys and mouse gestures, made from the actions themselves."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QWidget

from app.actions import ACTIONS, Action
from app.dialogs.frame import Buttons, FramedDialog
from app.panels import parts

MOUSE = (
    ("Wheel", "Next or previous slice; with Shift five"),
    ("Ctrl + wheel", "Zoom at the pointer"),
    ("Left drag", "Window: right is wider, down is a higher level"),
    ("Left click", "Crosshair: every pane jumps there"),
    ("Middle drag, Shift + left drag", "Pan"),
    ("Right drag", "Zoom"),
    ("Double click", "One pane, and back"),
    ("3D: left, middle, right drag", "Turn, pan, zoom"),
)

# Qt's own key, which no action stands for.
_NEXT_PANE = ("Tab", "Next pane, then the panels")


class KeysDialog(FramedDialog):
    """Every key, grouped as in the menus, and the mouse."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent, "Keys and mouse", Buttons.Close, width=900)
        columns = QHBoxLayout()
        columns.setSpacing(36)
        menus = ("File", "Edit", "Findings", "Training", "Help")
        sheets = [_keys_of(menus), _keys_of(("View",)), QWidget()]
        _grid(sheets[2])
        for sheet in sheets:
            columns.addWidget(sheet, 0, Qt.AlignmentFlag.AlignTop)
        _append(sheets[2], "Mouse", MOUSE)
        _append(sheets[2], "Panes", (_NEXT_PANE,))
        self.body.addLayout(columns)
        # A smallest width of one's own keeps Qt from asking the layout for it.
        self.setMinimumWidth(self.sizeHint().width())


def rows_of(menus: tuple[str, ...]) -> tuple[Action, ...]:
    """Return the actions of `menus` that have a key, those of one menu together."""
    rows = [row for row in ACTIONS if row.shortcut and row.menu.split("/")[0] in menus]
    paths = list(dict.fromkeys(row.menu for row in rows))
    return tuple(sorted(rows, key=lambda row: paths.index(row.menu)))


def key_text(row: Action) -> str:
    """Return the first key of `row` as this platform writes it."""
    return QKeySequence(row.shortcut.split()[0]).toString(QKeySequence.SequenceFormat.NativeText)


def _keys_of(menus: tuple[str, ...]) -> QWidget:
    sheet = QWidget()
    grid = _grid(sheet)
    group = ""
    for row in rows_of(menus):
        if row.menu != group:
            group = row.menu
            grid.addWidget(parts.heading(group.split("/")[-1]), grid.rowCount(), 0, 1, 2)
        text = f"{row.text} (while held)" if row.held else row.text.rstrip("…")
        _add(grid, key_text(row), text)
    return sheet


def _append(sheet: QWidget, title: str, rows: tuple[tuple[str, str], ...]) -> None:
    grid = sheet.layout()
    assert isinstance(grid, QGridLayout)
    grid.addWidget(parts.heading(title), grid.rowCount(), 0, 1, 2)
    for gesture, meaning in rows:
        _add(grid, gesture, meaning)


def _grid(sheet: QWidget) -> QGridLayout:
    grid = QGridLayout(sheet)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setVerticalSpacing(5)
    grid.setHorizontalSpacing(12)
    return grid


def _add(grid: QGridLayout, key: str, meaning: str) -> None:
    label = QLabel(key)
    label.setProperty("role", "key")
    number = grid.rowCount()
    grid.addWidget(label, number, 0, Qt.AlignmentFlag.AlignLeft)
    grid.addWidget(QLabel(meaning), number, 1)
