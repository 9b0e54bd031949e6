"""The list of findings: what was found, how large, how dense, and what the reader decided."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.panels import parts
from app.panels.thumbnail import thumbnail_of
from engine.case import Case
from engine.finding import Finding, Prediction, Review

STATE_TEXT = {
    Review.PROPOSED: "Proposed",
    Review.CONFIRMED: "Accepted",
    Review.REJECTED: "Rejected",
}
STATE_COLOUR = {
    Review.PROPOSED: theme.WARNING,
    Review.CONFIRMED: theme.SUCCESS,
    Review.REJECTED: theme.REJECTED,
}
_STATE_ICON = {
    Review.PROPOSED: "help-circle-outline",
    Review.CONFIRMED: "check-circle",
    Review.REJECTED: "close-circle",
}


class FindingsPanel(QWidget):
    """One card for every finding, and the subtype of the case."""

    select_requested = Signal(str)
    accept_requested = Signal(str)
    reject_requested = Signal(str)
    analyse_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._case: Case | None = None
        self._prediction: Prediction | None = None
        self._subtypes: tuple[str, ...] = ()
        self._findings: tuple[Finding, ...] = ()
        self._selected_id: str | None = None
        self.cards: tuple[FindingCard, ...] = ()
        self._count = QLabel()
        self._count.setProperty("role", "quiet")
        self._body = QWidget()
        self._list = parts.column(self._body, spacing=8)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(self._body)
        self.analyse_button = QPushButton(theme.icon("radar"), "Find lesions")
        self.analyse_button.setProperty("role", "primary")
        self.analyse_button.setObjectName("analyse")
        self.analyse_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.analyse_button.clicked.connect(lambda *_: self.analyse_requested.emit())
        self.obstacle = parts.quiet("")
        box = parts.column(self, spacing=10, margin=12)
        header = parts.row(parts.heading("Findings"))
        header.addStretch()
        header.addWidget(self._count)
        box.addLayout(header)
        box.addWidget(self._scroll, 1)
        box.addWidget(self.obstacle)
        box.addWidget(self.analyse_button)
        self._rebuild()

    def show_case(self, case: Case | None) -> None:
        """Follow the open case."""
        self._case = case
        self._prediction = None
        self._rebuild()

    def show_prediction(self, prediction: Prediction | None, subtypes: tuple[str, ...]) -> None:
        """Show the subtype of the case under its name from `subtypes`."""
        self._prediction = prediction
        self._subtypes = subtypes
        self._rebuild()

    def show_findings(self, findings: tuple[Finding, ...]) -> None:
        """Replace the cards."""
        self._findings = findings
        self._rebuild()

    def show_selected(self, finding: Finding | None) -> None:
        """Open the card of `finding`, and bring it into view."""
        self._selected_id = finding.finding_id if finding is not None else None
        for card in self.cards:
            card.set_selected(card.finding_id == self._selected_id)
            if card.finding_id == self._selected_id:
                self._scroll.ensureWidgetVisible(card, 0, 8)

    def set_analysable(self, possible: bool, tooltip: str, obstacle: str = "") -> None:
        """Enable the button, or say above it what stands in the way."""
        self.analyse_button.setEnabled(possible)
        self.analyse_button.setToolTip(tooltip)
        self.obstacle.setText(obstacle)
        self._show_obstacle()

    def _show_obstacle(self) -> None:
        can_ask = not self.analyse_button.isHidden()
        self.obstacle.setVisible(can_ask and bool(self.obstacle.text()))

    def _rebuild(self) -> None:
        parts.clear(self._list)
        self.cards = ()
        self._count.setText(_count_text(self._findings) if self._prediction is not None else "")
        self.analyse_button.setVisible(self._case is not None and self._prediction is None)
        self._show_obstacle()
        if self._prediction is not None and self._prediction.subtype_probabilities:
            self._list.addWidget(_SubtypeBars(self._prediction, self._subtypes))
        if self._prediction is None or not self._findings:
            self._list.addWidget(self._empty_state(), 1)
            return
        self.cards = tuple(
            FindingCard(finding, number, self._case)
            for number, finding in enumerate(self._findings, start=1)
        )
        for card in self.cards:
            card.select_requested.connect(self.select_requested)
            card.accept_requested.connect(self.accept_requested)
            card.reject_requested.connect(self.reject_requested)
            card.set_selected(card.finding_id == self._selected_id)
            self._list.addWidget(card)
        self._list.addWidget(parts.quiet("N next    Enter accept    Backspace reject"))
        self._list.addStretch(1)

    def _empty_state(self) -> QWidget:
        if self._case is None:
            return parts.empty_state(
                "folder-open-outline",
                "Open a CT, or drop a folder or file anywhere in the window.",
            )
        if self._prediction is None:
            return parts.empty_state("radar", "This case has not been analysed yet.")
        if self._prediction.subtype_probabilities:
            return parts.empty_state(
                "help-circle-outline",
                "This system tells what a lesion is like. It does not look for one.",
            )
        return parts.empty_state(
            "check-circle-outline",
            "No lesion was found. That does not rule one out.",
        )


class FindingCard(QFrame):
    """One finding with its figures and the reader's decision."""

    select_requested = Signal(str)
    accept_requested = Signal(str)
    reject_requested = Signal(str)

    def __init__(self, finding: Finding, number: int, case: Case | None) -> None:
        super().__init__()
        self.finding_id = finding.finding_id
        self.setObjectName(finding.finding_id)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setProperty("role", "card")
        self.setProperty("review", finding.review.value)
        self._pressed_at: QPoint | None = None
        self._buttons = self._make_buttons(finding)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addLayout(_title_row(finding, number))
        words.addWidget(parts.Bar(finding.probability, STATE_COLOUR[finding.review], 4))
        words.addWidget(QLabel(size_text(finding)))
        words.addWidget(parts.quiet(density_text(finding)))
        if finding.reason:
            words.addWidget(parts.quiet(finding.reason))
        top = parts.row(spacing=10)
        if case is not None:
            top.addWidget(thumbnail_of(case, finding), 0, Qt.AlignmentFlag.AlignTop)
        top.addLayout(words, 1)
        box = parts.column(self, spacing=8, margin=10)
        box.addLayout(top)
        box.addWidget(self._buttons)

    def set_selected(self, selected: bool) -> None:
        """Mark the card, and offer the decisions on it."""
        self.setProperty("selected", selected)
        self._buttons.setVisible(selected)
        self.style().unpolish(self)
        self.style().polish(self)

    def _make_buttons(self, finding: Finding) -> QWidget:
        accept = QPushButton(theme.icon("check"), "Accept")
        reject = QPushButton(theme.icon("close"), "Reject…")
        accept.setToolTip("Accept this finding (Enter)")
        reject.setToolTip("Reject this finding with a reason (Backspace)")
        accept.setEnabled(finding.review is not Review.CONFIRMED)
        reject.setEnabled(finding.review is not Review.REJECTED)
        accept.clicked.connect(lambda *_: self.accept_requested.emit(self.finding_id))
        reject.clicked.connect(lambda *_: self.reject_requested.emit(self.finding_id))
        for button in (accept, reject):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        holder = QWidget()
        holder.setLayout(parts.row(accept, reject))
        return holder

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember where a click began."""
        self._pressed_at = event.position().toPoint()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the finding when the click also ended on the card."""
        began, self._pressed_at = self._pressed_at, None
        if began is not None and self.rect().contains(event.position().toPoint()):
            self.select_requested.emit(self.finding_id)


class _SubtypeBars(QFrame):
    """The subtype probabilities of the case."""

    def __init__(self, prediction: Prediction, names: tuple[str, ...]) -> None:
        super().__init__()
        self.setProperty("role", "group")
        box = parts.column(self, spacing=6, margin=10)
        box.addWidget(parts.quiet("Subtype of the case"))
        most = max(prediction.subtype_probabilities)
        for index, probability in enumerate(prediction.subtype_probabilities):
            name = QLabel(names[index] if index < len(names) else f"Subtype {index}")
            share = QLabel(f"{probability:.0%}".replace("%", " %"))
            share.setAlignment(Qt.AlignmentFlag.AlignRight)
            is_most = probability == most
            for label in (name, share):
                label.setProperty("role", "figure" if is_most else "quiet")
            box.addLayout(parts.row(name, share))
            box.addWidget(
                parts.Bar(probability, theme.ACCENT if is_most else theme.DISABLED_TEXT, 4)
            )


def size_text(finding: Finding) -> str:
    """Return the axes in mm and the volume in mL; without an outline, that there is a box only."""
    axes = f"{finding.longest_diameter_mm:.0f} × {finding.short_axis_mm:.0f} mm"
    if not finding.is_outlined:
        return f"Box {axes}   no outline"
    return f"{axes}   {finding.volume_mm3 / 1000:.1f} mL"


def density_text(finding: Finding) -> str:
    """Return the density inside the label, or the box, in HU, mean ± standard deviation."""
    density = f"{finding.mean_hu:.0f} ± {finding.sd_hu:.0f} HU"
    return density if finding.is_outlined else f"{density} in the box"


def _title_row(finding: Finding, number: int) -> QVBoxLayout:
    title = parts.figure(f"{finding.structure.capitalize()} {number}")
    probability = parts.figure(f"{finding.probability:.0%}".replace("%", " %"))
    probability.setToolTip("Probability that there is a lesion here")
    colour = STATE_COLOUR[finding.review]
    state = QLabel()
    state.setPixmap(theme.icon(_STATE_ICON[finding.review], colour).pixmap(15, 15))
    state.setToolTip(STATE_TEXT[finding.review])
    text = QLabel(STATE_TEXT[finding.review])
    text.setStyleSheet(f"color: {colour};")
    line = parts.row(title, spacing=6)
    line.addStretch()
    line.addWidget(probability)
    below = parts.row(state, text, spacing=5)
    below.addStretch()
    both = QVBoxLayout()
    both.setSpacing(2)
    both.addLayout(line)
    both.addLayout(below)
    return both


def _count_text(findings: tuple[Finding, ...]) -> str:
    decided = sum(finding.review is not Review.PROPOSED for finding in findings)
    return f"{decided} of {len(findings)} reviewed" if findings else ""
