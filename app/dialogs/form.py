"""Asks for a few values at once: words, choices, numbers, files and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QWidget,
)

from app.dialogs.frame import Buttons, FramedDialog
from app.panels import parts

Kind = Literal["text", "folder", "new_folder", "file", "choice"]
_WIDTH = 620


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a form.

    Args:
        name: Under which it is returned.
        label: What it is, as the form shows it.
        kind: How it is asked for.
        value: What it is at first.
        choices: Of a choice.
        hint: Shown while it is empty, and as a tooltip.
        is_needed: Whether the form is not complete without it.
    """

    name: str
    label: str
    kind: Kind = "text"
    value: str = ""
    choices: Sequence[str] = ()
    hint: str = ""
    is_needed: bool = True


class FormDialog(FramedDialog):
    """A form that is complete when every needed value is there.

    Args:
        parent: The window it belongs to.
        title: Its heading.
        text: What it is for; whole sentences.
        fields: What is asked for.
        verb: Of the button that does it.
    """

    def __init__(
        self, parent: QWidget | None, title: str, text: str, fields: Sequence[Field], verb: str
    ) -> None:
        super().__init__(parent, title, Buttons.Ok | Buttons.Cancel, width=_WIDTH)
        self.name_button(Buttons.Ok, verb)
        self._fields = tuple(fields)
        self._edits: dict[str, QLineEdit | QComboBox] = {}
        said = parts.quiet(text)
        said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.body.addWidget(said)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        for row, each in enumerate(self._fields):
            label = QLabel(each.label)
            grid.addWidget(label, row, 0)
            grid.addLayout(self._line(each, label), row, 1)
        self.body.addLayout(grid)
        self._refresh()

    @property
    def values(self) -> Mapping[str, str]:
        """What was given, by name."""
        return {name: _text(edit) for name, edit in self._edits.items()}

    def give(self, name: str, value: str) -> None:
        """Give a value, as its reader would."""
        edit = self._edits[name]
        if isinstance(edit, QComboBox):
            edit.setCurrentText(value)
        else:
            edit.setText(value)

    @property
    def is_complete(self) -> bool:
        """Whether every needed value is there."""
        return all(_text(self._edits[each.name]) for each in self._fields if each.is_needed)

    def _line(self, each: Field, label: QLabel) -> QHBoxLayout:
        if each.kind == "choice":
            box = QComboBox()
            box.addItems(list(each.choices))
            box.setCurrentText(each.value or each.choices[0])
            self._edits[each.name] = box
            label.setBuddy(box)
            box.setToolTip(each.hint)
            return parts.row(box)
        edit = QLineEdit(each.value)
        edit.setPlaceholderText(each.hint)
        edit.setToolTip(each.hint)
        edit.textChanged.connect(lambda _: self._refresh())
        self._edits[each.name] = edit
        label.setBuddy(edit)
        if each.kind == "text":
            return parts.row(edit)
        button = QToolButton()
        button.setText("Choose…")
        button.setProperty("role", "command")
        button.clicked.connect(lambda: self._choose(each))
        return parts.row(edit, button)

    def _choose(self, each: Field) -> None:
        edit = self._edits[each.name]
        if each.kind == "file":
            path, _ = QFileDialog.getOpenFileName(self, each.label, "", "Zip files (*.zip)")
        elif each.kind == "folder":
            path = QFileDialog.getExistingDirectory(self, each.label, _text(edit))
        else:
            path, _ = QFileDialog.getSaveFileName(self, each.label, _text(edit))
        if path:
            self.give(each.name, path)

    def _refresh(self) -> None:
        self.buttons.button(Buttons.Ok).setEnabled(self.is_complete)


def _text(edit: QLineEdit | QComboBox) -> str:
    return edit.currentText() if isinstance(edit, QComboBox) else edit.text().strip()
