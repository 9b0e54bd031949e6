"""How every structure is drawn: seen or not, filled, outlined, how strong, with boxes."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QLabel, QSlider, QToolButton, QWidget

from app import theme
from app.panels import parts
from app.session import Layer


class LayersPanel(QWidget):
    """One row of switches for every structure of the label map."""

    layer_requested = Signal(object)  # Layer

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[LayerRow, ...] = ()
        box = parts.column(self, spacing=8, margin=12)
        box.addWidget(parts.heading("Layers"))
        self._body = QWidget()
        self._list = parts.column(self._body, spacing=6)
        box.addWidget(self._body)
        self._show_empty()

    def show_layers(self, layers: tuple[Layer, ...]) -> None:
        """Follow the layers; rows are rebuilt only when the structures change."""
        if [row.layer.structure for row in self.rows] == [layer.structure for layer in layers]:
            for row, layer in zip(self.rows, layers, strict=True):
                row.show_layer(layer)
            return
        parts.clear(self._list)
        self.rows = tuple(LayerRow(layer) for layer in layers)
        for row in self.rows:
            row.layer_requested.connect(self.layer_requested)
            self._list.addWidget(row)
        if not self.rows:
            self._show_empty()

    def _show_empty(self) -> None:
        self._list.addWidget(parts.quiet("Masks and boxes appear here once there are any."))


class LayerRow(QWidget):
    """The switches of one structure."""

    layer_requested = Signal(object)  # Layer

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.setObjectName(f"layer.{layer.structure}")
        name = layer.structure
        self.visible = _switch("eye-outline", f"Show {name}")
        self.filled = _switch("square-opacity", f"Fill {name} in the planes")
        self.outlined = _switch("square-outline", f"Outline {name} in the planes")
        self.boxes = _switch("cube-outline", f"Boxes of {name}")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setToolTip(f"Strength of the fill of {name}")
        self.opacity.setAccessibleName(self.opacity.toolTip())
        self.opacity.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.opacity.setFixedWidth(56)
        self._connect()
        line = parts.row(self.visible, _swatch(name), QLabel(name.capitalize()), spacing=6)
        line.addStretch()
        for widget in (self.opacity, self.filled, self.outlined, self.boxes):
            line.addWidget(widget)
        line.setSpacing(4)
        self.setLayout(line)
        self.show_layer(layer)

    def show_layer(self, layer: Layer) -> None:
        """Follow `layer` without asking for anything."""
        self.layer = layer
        for switch, is_on in (
            (self.visible, layer.visible),
            (self.filled, layer.filled),
            (self.outlined, layer.outlined),
            (self.boxes, layer.boxes),
        ):
            switch.setChecked(is_on)
        self.visible.setIcon(theme.icon("eye-outline" if layer.visible else "eye-off-outline"))
        self.opacity.blockSignals(True)
        self.opacity.setValue(round(layer.opacity * 100))
        self.opacity.blockSignals(False)

    def _connect(self) -> None:
        # `clicked`, not `toggled`: only the reader's own hand is a wish.
        self.visible.clicked.connect(lambda on: self._ask(visible=on))
        self.filled.clicked.connect(lambda on: self._ask(filled=on))
        self.outlined.clicked.connect(lambda on: self._ask(outlined=on))
        self.boxes.clicked.connect(lambda on: self._ask(boxes=on))
        self.opacity.valueChanged.connect(lambda value: self._ask(opacity=value / 100))

    def _ask(self, **changes: bool | float) -> None:
        self.layer_requested.emit(replace(self.layer, **changes))


def _switch(icon: str, tooltip: str) -> QToolButton:
    button = parts.icon_button(icon, tooltip)
    button.setCheckable(True)
    button.setIconSize(QSize(15, 15))
    return button


def _swatch(structure: str) -> QLabel:
    pixmap = QPixmap(10, 10)
    pixmap.fill(theme.structure_colour(structure))
    label = QLabel()
    label.setPixmap(pixmap)
    return label
