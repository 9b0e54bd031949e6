"""Step through the findings, accept, reject with a reason, undo."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from app.controllers.review_files import ReviewFiles
from app.dialogs.reject_reason import RejectReasonDialog
from app.session import Session
from engine.finding import Finding, Review

AskReason = Callable[[QWidget | None, str], str | None]


class ReviewFindings(QObject):
    """Turns a reader's decisions into facts of the session, and saves each of them.

    Args:
        session: Holds the findings.
        reviews: Keeps the decisions.
        ask_reason: Asks why; None means that the reader changed their mind.
        parent: The window.
    """

    def __init__(
        self,
        session: Session,
        reviews: ReviewFiles,
        *,
        ask_reason: AskReason | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._reviews = reviews
        self._ask_reason = ask_reason if ask_reason is not None else _ask_in_dialog
        self._window = parent
        session.findings_changed.connect(self._on_findings_changed)

    def verbs(self) -> dict[str, Callable[[], None]]:
        """Return what this controller does, by action."""
        return {
            "finding.next": lambda: self.step(1),
            "finding.previous": lambda: self.step(-1),
            "finding.accept": self.accept,
            "finding.reject": self.reject,
            "edit.undo": self._session.undo_stack.undo,
            "edit.redo": self._session.undo_stack.redo,
        }

    def step(self, count: int) -> None:
        """Look at the finding `count` further down the list, beginning again at its ends."""
        findings, selected = self._session.findings, self._session.selected
        if not findings:
            return
        at = findings.index(selected) if selected is not None else (-1 if count > 0 else 0)
        self._session.select_finding(findings[(at + count) % len(findings)].finding_id)

    def accept(self) -> None:
        """Accept the selected finding, and go on to the next undecided one."""
        selected = self._session.selected
        if selected is not None:
            self._session.review(selected.finding_id, Review.CONFIRMED)
            self._go_on()

    def reject(self) -> None:
        """Reject the selected finding with a reason, and go on to the next undecided one."""
        selected = self._session.selected
        if selected is None:
            return
        number = self._session.findings.index(selected) + 1
        reason = self._ask_reason(self._window, f"{selected.structure} {number}")
        if reason:
            self._session.review(selected.finding_id, Review.REJECTED, reason)
            self._go_on()

    def _go_on(self) -> None:
        undecided = [f for f in self._session.findings if f.review is Review.PROPOSED]
        if undecided:
            self._session.select_finding(undecided[0].finding_id)

    def _on_findings_changed(self, findings: tuple[Finding, ...]) -> None:
        prediction = self._session.prediction
        if prediction is not None and findings:
            self._reviews.save(prediction, findings)


def _ask_in_dialog(parent: QWidget | None, finding_title: str) -> str | None:
    dialog = RejectReasonDialog(parent, finding_title)
    return dialog.reason if dialog.exec() else None
