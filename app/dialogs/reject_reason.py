"""Asks why a finding is rejected."""

from __future__ import annotations

from PySide6.QtWidgets import QButtonGroup, QLineEdit, QRadioButton, QWidget

from app.dialogs.frame import Buttons, FramedDialog

# ours: what readers of pancreatic CT meet most often; the line below takes everything else
REASONS = (
    "Normal pancreas",
    "Bowel or stomach",
    "Vessel",
    "Duct or common bile duct",
    "Lymph node or other organ",
    "Image artefact",
)


class RejectReasonDialog(FramedDialog):
    """A short list of reasons, and a line for words of one's own."""

    def __init__(self, parent: QWidget | None, finding_title: str) -> None:
        super().__init__(parent, f"Why is {finding_title} rejected?", Buttons.Ok | Buttons.Cancel)
        self.name_button(Buttons.Ok, "Reject")
        self._group = QButtonGroup(self)
        for number, reason in enumerate(REASONS):
            button = QRadioButton(reason)
            self._group.addButton(button, number)
            self.body.addWidget(button)
        self.own_words = QLineEdit()
        self.own_words.setPlaceholderText("Other, or a note")
        self.own_words.setMaxLength(200)
        self.body.addWidget(self.own_words)
        self.body.addStretch(1)
        self._group.idClicked.connect(lambda _: self._refresh())
        self.own_words.textChanged.connect(lambda _: self._refresh())
        self._group.button(0).setFocus()
        self._refresh()

    @property
    def reason(self) -> str:
        """The chosen reason and the reader's own words."""
        chosen = self._group.checkedButton()
        words = [chosen.text() if chosen is not None else "", self.own_words.text().strip()]
        return ": ".join(word for word in words if word)

    def choose(self, number: int) -> None:
        """Choose one of `REASONS`."""
        self._group.button(number).setChecked(True)
        self._refresh()

    def _refresh(self) -> None:
        self.buttons.button(Buttons.Ok).setEnabled(bool(self.reason))
