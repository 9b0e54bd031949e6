"""Asks which of several CT series to open."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from app.dialogs.frame import Buttons, FramedDialog
from app.panels import parts
from app.panels.series import SeriesList
from engine.data.source import Source


class SeriesPickerDialog(FramedDialog):
    """The series of a folder; `best` is proposed."""

    def __init__(
        self, parent: QWidget | None, sources: tuple[Source, ...], best: Source | None
    ) -> None:
        super().__init__(parent, "Which series?", Buttons.Open | Buttons.Cancel, width=520)
        self.body.addWidget(parts.quiet("The folder holds several CT series."))
        self.list = SeriesList()
        self.list.setMinimumHeight(min(90 + 52 * len(sources), 420))
        self.list.show_sources(sources, best)
        self.list.itemDoubleClicked.connect(lambda _: self.accept())
        self.body.addWidget(self.list)
        self.list.setFocus()

    @property
    def chosen(self) -> Source | None:
        """The series to open."""
        return self.list.chosen
