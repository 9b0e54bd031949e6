"""The choice of the system that looks for lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIcon, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from app import theme
from app.panels import parts
from app.panels.system_facts import SystemFacts, facts_of, heads_text, parameters_text
from engine.system import System


class SystemsPanel(QWidget):
    """A drop-down of systems, and what is known about the chosen one.

    Args:
        systems: The catalogue.
        read_facts: Says whether a system has weights.
    """

    system_requested = Signal(str)

    def __init__(
        self, systems: Iterable[System], read_facts: Callable[[System], SystemFacts] = facts_of
    ) -> None:
        super().__init__()
        self._systems = {system.name: system for system in systems}
        self._facts = {name: read_facts(system) for name, system in self._systems.items()}
        self.choice = ShorteningComboBox()
        self.choice.setObjectName("systems")
        self.choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choice.setMinimumContentsLength(10)
        self.choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for name, system in self._systems.items():
            self.choice.addItem(self._dot(name), self._entry(system), name)
        self.choice.activated.connect(
            lambda index: self.system_requested.emit(self.choice.itemData(index))
        )
        self._values = {key: _value() for key in ("finds", "weights", "source")}
        box = parts.column(self, spacing=8, margin=12)
        box.addWidget(parts.heading("System"))
        box.addWidget(self.choice)
        for key, value in self._values.items():
            box.addWidget(_pair(key.capitalize(), value))

    def show_system(self, name: str) -> None:
        """Show `name` as the chosen system."""
        system = self._systems.get(name)
        if system is None:
            return
        self.choice.setCurrentIndex(self.choice.findData(name))
        self.choice.setToolTip(system.title)
        self._values["finds"].setText(heads_text(system))
        self._values["weights"].setText(parameters_text(self._facts[name]))
        self._values["source"].setText(system.source)

    def can_analyse(self, name: str) -> bool:
        """Return whether the system called `name` has weights."""
        return name in self._facts and self._facts[name].has_weights

    def _entry(self, system: System) -> str:
        return system.title if self.can_analyse(system.name) else f"{system.title} – no weights"

    def _dot(self, name: str) -> QIcon:
        has_weights = self._facts[name].has_weights
        colour = theme.SUCCESS if has_weights else theme.DISABLED_TEXT
        return theme.icon("circle-medium", colour)


class ShorteningComboBox(QComboBox):
    """A drop-down that ends a long text in an ellipsis, where Qt cuts through a letter."""

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw as Qt does, with a text that fits."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        # Qt leaves four pixels between the icon and the text, and as many after it.
        room = field.width() - option.iconSize.width() - 8
        option.currentText = self.fontMetrics().elidedText(  # pyright: ignore
            option.currentText, Qt.TextElideMode.ElideRight, room
        )
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def _pair(key: str, value: QLabel) -> QWidget:
    pair = QWidget()
    box = parts.column(pair, spacing=1)
    box.addWidget(parts.quiet(key))
    box.addWidget(value)
    return pair


def _value() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
