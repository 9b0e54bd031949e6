"""What the training page is put together from, on top of the panels' own parts."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.panels import parts
from app.panels.systems import ShorteningComboBox


class ElidedLabel(QLabel):
    """One line of text that is shortened to the room there is; the tooltip has all of it."""

    def __init__(
        self, role: str = "", mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight
    ) -> None:
        super().__init__()
        self._mode = mode
        self.full_text = ""
        self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_text(self, text: str) -> None:
        """Show `text`."""
        self.full_text = text
        self._refresh()

    def minimumSizeHint(self) -> QSize:
        """Give way."""
        return QSize(30, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten anew."""
        super().resizeEvent(event)
        self._refresh()

    def _refresh(self) -> None:
        shown = self.fontMetrics().elidedText(self.full_text, self._mode, self.width())
        if shown != self.text():
            self.setText(shown)
        self.setToolTip(self.full_text if shown != self.full_text else "")


class Segments(QWidget):
    """A few choices side by side, one of which holds."""

    chosen = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str]] = (), name: str = "") -> None:
        super().__init__()
        self._name = name
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QToolButton] = {}
        self._box = QHBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)
        self._box.addStretch(1)
        self.offer(choices)

    @property
    def choice(self) -> str:
        """The key that holds; empty where there is none."""
        return next((key for key, b in self._buttons.items() if b.isChecked()), "")

    def button(self, key: str) -> QToolButton:
        """Return the button of `key`."""
        return self._buttons[key]

    def offer(self, choices: Sequence[tuple[str, str]]) -> None:
        """Replace the choices, (key, text) each; the one that held goes on to hold."""
        held = self.choice
        for button in self._buttons.values():
            self._group.removeButton(button)
            button.hide()
            button.deleteLater()
        self._buttons = {}
        for number, (key, text) in enumerate(choices):
            button = self._make(key, text)
            button.setProperty("place", _place(number, len(choices)))
            self._buttons[key] = button
            self._box.insertWidget(number, button)
        if choices:
            self.choose(held if held in self._buttons else choices[0][0])

    def choose(self, key: str) -> None:
        """Let `key` hold, without a word."""
        self._buttons[key].setChecked(True)

    def set_text(self, key: str, text: str, tooltip: str = "") -> None:
        """Word a choice in another way."""
        self._buttons[key].setText(text)
        self._buttons[key].setToolTip(tooltip)

    def _make(self, key: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setCheckable(True)
        button.setProperty("role", "segment")
        button.setAccessibleName(f"{self._name}: {text}")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda *_: self.chosen.emit(key))
        self._group.addButton(button)
        return button


class Card(QFrame):
    """A framed group with a heading.

    Args:
        title: Its heading.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setProperty("role", "group")
        self.body: QVBoxLayout = parts.column(self, spacing=9, margin=14)
        self.body.addWidget(parts.heading(title))

    def end(self) -> None:
        """Leave room that is left over below everything."""
        self.body.addStretch(1)

    def add_field(self, name: str, *widgets: QWidget) -> QLabel:
        """Add a labelled row; the first widget takes the room.

        Returns:
            The label, to be hidden with its field.
        """
        label = QLabel(name)
        label.setProperty("role", "quiet")
        label.setFixedWidth(96)
        line = parts.row(label)
        for number, widget in enumerate(widgets):
            line.addWidget(widget, 0 if number else 1)
        label.setBuddy(widgets[0])
        widgets[0].setAccessibleName(name)
        self.body.addLayout(line)
        return label


def action_button(action: QAction, *, role: str = "command", has_text: bool = True) -> QToolButton:
    """Return a button that stands for `action`, and is switched on and off with it."""
    button = QToolButton()
    button.setDefaultAction(action)
    button.setIconSize(QSize(16, 16))
    style = Qt.ToolButtonStyle
    button.setToolButtonStyle(
        style.ToolButtonTextBesideIcon if has_text else style.ToolButtonIconOnly
    )
    button.setProperty("role", role)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def drop_down(tooltip: str) -> QComboBox:
    """Return a drop-down that shortens what it shows, and never turns with a passing wheel."""
    choice = _CalmComboBox()
    choice.setToolTip(tooltip)
    choice.setMinimumContentsLength(8)
    choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    choice.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return choice


class CalmSpinBox(QSpinBox):
    """A number that never turns with a passing wheel."""

    def wheelEvent(self, event) -> None:  # noqa: ANN001
        """Leave the wheel to the page."""
        event.ignore()


class _CalmComboBox(ShorteningComboBox):
    def wheelEvent(self, event) -> None:  # noqa: ANN001
        """Leave the wheel to the page, which is what a person who scrolls over it means."""
        event.ignore()


def _place(number: int, count: int) -> str:
    if count == 1:
        return "only"
    return {0: "first", count - 1: "last"}.get(number, "middle")
