"""The series of the opened folder; what is not a CT is set apart."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QLabel, QListWidget, QListWidgetItem, QWidget

from app.panels import parts
from app.panels.source_text import can_open, detail_text
from engine.data.source import Source

_ROW_HEIGHT = 50


class SeriesList(QListWidget):
    """Series by title and detail; CTs first, the rest greyed and not to be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: tuple[Source, ...] = ()
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)

    def show_sources(self, sources: tuple[Source, ...], chosen: Source | None) -> None:
        """Replace the list, and mark the series that is open."""
        self.clear()
        self.sources = tuple(sorted(sources, key=lambda source: not can_open(source)))
        for source in self.sources:
            item = QListWidgetItem()
            # The row's widget draws the words; the item keeps them for whoever cannot see.
            item.setData(Qt.ItemDataRole.AccessibleTextRole, source.title)
            item.setToolTip(f"{source.title}\n{detail_text(source)}")
            row = _row(source)
            item.setSizeHint(QSize(100, _ROW_HEIGHT))
            if not can_open(source):
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.addItem(item)
            self.setItemWidget(item, row)
            if source == chosen:
                self.setCurrentItem(item)

    @property
    def chosen(self) -> Source | None:
        """The marked series."""
        number = self.currentRow()
        return self.sources[number] if 0 <= number < len(self.sources) else None

    def neighbour(self, step: int) -> Source | None:
        """Return the series `step` rows below the marked one, if it can be opened."""
        number = self.currentRow() + step
        inside = self.currentRow() >= 0 and 0 <= number < len(self.sources)
        return self.sources[number] if inside and can_open(self.sources[number]) else None


class SeriesPanel(QWidget):
    """The strip of series beside the panes."""

    source_requested = Signal(object)  # Source

    def __init__(self) -> None:
        super().__init__()
        self.list = SeriesList()
        self.list.setObjectName("series")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.itemClicked.connect(lambda _: self._ask())
        self._open: Source | None = None
        self._empty = parts.quiet("The series of the opened folder appear here.")
        box = parts.column(self, spacing=8, margin=12)
        box.addWidget(parts.heading("Series"))
        box.addWidget(self._empty)
        box.addWidget(self.list, 1)
        box.addStretch()
        self.list.hide()

    def show_series(self, sources: tuple[Source, ...], chosen: Source | None) -> None:
        """Follow what the opened folder holds."""
        self._open = chosen
        self.list.show_sources(sources, chosen)
        self.list.setVisible(bool(sources))
        self._empty.setVisible(not sources)

    def _ask(self) -> None:
        chosen = self.list.chosen
        if chosen is not None and chosen != self._open:
            self.source_requested.emit(chosen)


def _row(source: Source) -> QWidget:
    title = QLabel(source.title)
    title.setProperty("role", "figure" if can_open(source) else "quiet")
    row = QWidget()
    # Clicks belong to the list.
    row.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    box = parts.column(row, spacing=2, margin=8)
    detail = QLabel(detail_text(source))
    detail.setProperty("role", "quiet")
    box.addWidget(title)
    box.addWidget(detail)
    row.setEnabled(can_open(source))
    return row
