"""Small pieces every panel is put together from: headings, bars, buttons, empty states."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app import theme


class Bar(QWidget):
    """A slim horizontal bar of one share.

    Args:
        share: 0 to 1.
        colour: Of the filled part.
        height: In device-independent pixels.
    """

    def __init__(self, share: float, colour: str, height: int = 5) -> None:
        super().__init__()
        self._share = share
        self._colour = QColor(colour)
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the groove, then the share."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        round_px = self.height() / 2
        painter.setBrush(QColor(theme.BORDER))
        painter.drawRoundedRect(QRectF(self.rect()), round_px, round_px)
        if self._share > 0:
            width = max(self.height(), self.width() * min(self._share, 1.0))
            painter.setBrush(self._colour)
            painter.drawRoundedRect(QRectF(0, 0, width, self.height()), round_px, round_px)
        painter.end()


def heading(text: str) -> QLabel:
    """Return the title of a panel's section."""
    label = QLabel(text.upper())
    label.setProperty("role", "heading")
    return label


def quiet(text: str) -> QLabel:
    """Return secondary text that wraps."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setProperty("role", "quiet")
    return label


def figure(text: str) -> QLabel:
    """Return a figure that stands out."""
    label = QLabel(text)
    label.setProperty("role", "figure")
    return label


def icon_button(icon: str, tooltip: str, *, name: str = "") -> QToolButton:
    """Return a flat button that shows an icon only."""
    button = QToolButton()
    button.setIcon(theme.icon(icon))
    button.setIconSize(QSize(16, 16))
    button.setToolTip(tooltip)
    button.setAccessibleName(tooltip)
    button.setObjectName(name)
    button.setAutoRaise(True)
    # A click must not take the keys away from the panes.
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def empty_state(icon: str, text: str) -> QWidget:
    """Return what a panel shows while it has nothing to show."""
    picture = QLabel()
    picture.setPixmap(theme.icon(icon, theme.BORDER).pixmap(40, 40))
    picture.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    words = quiet(text)
    words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    state = QWidget()
    box = column(state, spacing=10, margin=20)
    box.addStretch(2)
    box.addWidget(picture)
    box.addWidget(words)
    box.addStretch(3)
    return state


def column(parent: QWidget, *, spacing: int = 6, margin: int = 0) -> QVBoxLayout:
    """Give `parent` a vertical layout."""
    box = QVBoxLayout(parent)
    box.setSpacing(spacing)
    box.setContentsMargins(margin, margin, margin, margin)
    return box


def row(*widgets: QWidget, spacing: int = 8) -> QHBoxLayout:
    """Return a horizontal layout of `widgets`."""
    box = QHBoxLayout()
    box.setSpacing(spacing)
    box.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        box.addWidget(widget)
    return box


def clear(box: QVBoxLayout) -> None:
    """Remove every widget of `box`."""
    while (item := box.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            # Hide first: deletion waits for the event loop, and a ghost would flash till then.
            widget.hide()
            widget.deleteLater()
