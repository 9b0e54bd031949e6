"""The choice of the system that looks for lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QWidget,
)

from app import theme
from app.panels import parts
from app.panels.system_facts import (
    SystemFacts,
    facts_of,
    heads_text,
    parameters_text,
    title_text,
    training_text,
)
from engine.archive.registered import all_systems
from engine.system import System

# ours: six entries; the series above keep the rest of the column
_LIST_HEIGHT = 150


class SystemsPanel(QWidget):
    """A drop-down of the systems that are ready, what is known of one, and what must be trained.

    Args:
        systems: Of the catalogue, and registered.
        read_facts: Says whether a system has weights.
    """

    system_requested = Signal(str)

    def __init__(
        self, systems: Iterable[System], read_facts: Callable[[System], SystemFacts] = facts_of
    ) -> None:
        super().__init__()
        self._read_facts = read_facts
        self._systems: dict[str, System] = {}
        self._facts: dict[str, SystemFacts] = {}
        self._chosen = ""
        self.choice = ShorteningComboBox()
        self.choice.setObjectName("systems")
        self.choice.setAccessibleName("Systems that are ready to use")
        self.choice.setPlaceholderText("No system is ready yet")
        self.choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choice.setMinimumContentsLength(10)
        self.choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.choice.activated.connect(
            lambda index: self.system_requested.emit(self.choice.itemData(index))
        )
        self.untrained = UntrainedSystems()
        self.untrained.system_requested.connect(self.system_requested)
        self._values = {key: _value() for key in ("finds", "weights", "trained", "source")}
        self._pairs = {key: _pair(key.capitalize(), label) for key, label in self._values.items()}
        box = parts.column(self, spacing=8, margin=12)
        box.addWidget(parts.heading("System"))
        box.addWidget(self.choice)
        for pair in self._pairs.values():
            box.addWidget(pair)
        box.addWidget(self.untrained)
        self.show_systems(systems)

    def show_systems(self, systems: Iterable[System]) -> None:
        """Offer `systems`; the chosen one stays chosen if it is among them."""
        self._systems = {system.name: system for system in systems}
        self._facts = {name: self._read_facts(system) for name, system in self._systems.items()}
        ready = [name for name in self._systems if self.can_analyse(name)]
        self.untrained.show_systems(
            tuple(system for name, system in self._systems.items() if name not in ready)
        )
        self.choice.clear()
        for name in ready:
            self._offer(name)
        self.choice.setCurrentIndex(-1)
        self.show_system(self._chosen)

    def refresh(self) -> None:
        """Offer what there is now: a run may have been registered, or a system removed."""
        self.show_systems(all_systems())

    def show_system(self, name: str) -> None:
        """Show `name` as the chosen system."""
        system = self._systems.get(name)
        if system is None:
            return
        self._chosen = name
        self._drop_untrained()
        if self.choice.findData(name) < 0:
            self._offer(name)
        self.choice.setCurrentIndex(self.choice.findData(name))
        self.choice.setToolTip(system.title)
        self.untrained.show_chosen(name)
        facts = self._facts[name]
        self._values["finds"].setText(heads_text(system))
        self._values["weights"].setText(parameters_text(facts))
        self._values["trained"].setText(training_text(facts))
        self._values["source"].setText(system.source)
        self._pairs["trained"].setVisible(facts.provenance is not None)

    def knows(self, name: str) -> bool:
        """Return whether there is a system called `name`."""
        return name in self._systems

    def can_analyse(self, name: str) -> bool:
        """Return whether the system called `name` has weights."""
        return name in self._facts and self._facts[name].has_weights

    def first_ready(self) -> str:
        """Return the first system that can analyse, or the first there is."""
        ready = (name for name in self._systems if self.can_analyse(name))
        return next(ready, next(iter(self._systems), ""))

    def subtypes_of(self, name: str) -> tuple[str, ...]:
        """Return the lesion subtypes that the system called `name` tells apart."""
        return self._systems[name].subtypes if name in self._systems else ()

    def _offer(self, name: str) -> None:
        self.choice.addItem(self._dot(name), self._entry(self._systems[name]), name)

    def _drop_untrained(self) -> None:
        """Take out of the drop-down what stood there only because it was chosen."""
        for index in reversed(range(self.choice.count())):
            if not self.can_analyse(self.choice.itemData(index)):
                self.choice.removeItem(index)

    def _entry(self, system: System) -> str:
        facts = self._facts[system.name]
        title = title_text(system, facts)
        return title if self.can_analyse(system.name) else f"{title} – not trained yet"

    def _dot(self, name: str) -> QIcon:
        has_weights = self._facts[name].has_weights
        colour = theme.SUCCESS if has_weights else theme.DISABLED_TEXT
        return theme.icon("circle-medium", colour)


class UntrainedSystems(QWidget):
    """The systems that must be trained before they can look, folded away until asked for."""

    system_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.fold = QToolButton()
        self.fold.setObjectName("untrained systems")
        self.fold.setAutoRaise(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.fold.setToolTip("Systems without weights: they can be trained, not used yet")
        self.fold.clicked.connect(lambda: self._open(self.list.isHidden()))
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setFixedHeight(_LIST_HEIGHT)
        self.list.itemClicked.connect(self._on_chosen)
        self.list.itemActivated.connect(self._on_chosen)
        box = parts.column(self, spacing=4)
        box.addWidget(self.fold)
        box.addWidget(self.list)
        self._open(False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the systems, in their order."""
        return tuple(self._name(row) for row in range(self.list.count()))

    def show_systems(self, systems: tuple[System, ...]) -> None:
        """List `systems`; nothing is shown where there are none."""
        self.list.clear()
        for system in systems:
            item = QListWidgetItem(system.title)
            item.setData(Qt.ItemDataRole.UserRole, system.name)
            item.setToolTip(f"{system.name}: {system.title}")
            item.setForeground(QColor(theme.QUIET_TEXT))
            self.list.addItem(item)
        self.fold.setText(f"Train first ({len(systems)})")
        self.setVisible(bool(systems))

    def show_chosen(self, name: str) -> None:
        """Mark the system called `name`, where it is in the list."""
        rows = [row for row in range(self.list.count()) if self._name(row) == name]
        self.list.setCurrentRow(rows[0] if rows else -1)

    def _name(self, row: int) -> str:
        return self.list.item(row).data(Qt.ItemDataRole.UserRole)

    def _open(self, is_open: bool) -> None:
        self.fold.setIcon(theme.icon("chevron-down" if is_open else "chevron-right"))
        self.list.setVisible(is_open)

    def _on_chosen(self, item: QListWidgetItem) -> None:
        self.system_requested.emit(item.data(Qt.ItemDataRole.UserRole))


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
