"""Holds the surfaces of what is open, built in the background when they are first seen."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject, Signal

from engine.case import Case
from engine.errors import IsletError
from engine.finding import Finding
from engine.volume import LabelMap

if TYPE_CHECKING:
    from app.views.surfaces import Surface

log = logging.getLogger(__name__)


class RunTask(Protocol):
    """How work leaves the main thread; `TaskRunner.run` is one."""

    def __call__(
        self,
        work: Callable[[], Any],
        *,
        on_success: Callable[[Any], None],
        on_failure: Callable[[IsletError], None],
    ) -> None:
        """Run `work` and report its outcome on the main thread."""
        ...


def run_now(
    work: Callable[[], Any],
    *,
    on_success: Callable[[Any], None],
    on_failure: Callable[[IsletError], None],
) -> None:
    """Run work at once; what a view does without a task runner."""
    try:
        outcome = work()
    except IsletError as error:
        on_failure(error)
    else:
        on_success(outcome)


class SurfaceStore(QObject):
    """Builds a surface once, and drops what belongs to a case or answer that is gone."""

    changed = Signal()
    organs_built = Signal()

    def __init__(self, run_task: RunTask, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run_task = run_task
        self._case: Case | None = None
        self._labels: LabelMap | None = None
        self._findings: tuple[Finding, ...] = ()
        self._context: tuple[Surface, ...] = ()
        self._organs: tuple[Surface, ...] = ()
        self._context_missing = False
        self._organs_missing = False
        self._num_building = 0

    @property
    def context(self) -> tuple[Surface, ...]:
        """Skin and bone."""
        return self._context

    @property
    def organs(self) -> tuple[Surface, ...]:
        """What the label map names."""
        return self._organs

    @property
    def is_building(self) -> bool:
        """Whether a surface is being built now."""
        return self._num_building > 0

    def set_case(self, case: Case | None) -> None:
        """Drop everything; skin and bone of `case` are missing from now on."""
        self._case, self._labels, self._findings = case, None, ()
        self._context, self._organs = (), ()
        self._context_missing, self._organs_missing = case is not None, False
        self.changed.emit()

    def set_labels(self, labels: LabelMap | None) -> None:
        """Replace the organs; the old ones stay until the new ones are built."""
        self._labels, self._organs_missing = labels, labels is not None
        if labels is None:
            self._organs = ()
        self.changed.emit()

    def set_findings(self, findings: tuple[Finding, ...]) -> None:
        """Give each finding a surface of its own; only another place needs another surface."""
        if _places(findings) != _places(self._findings):
            self._organs_missing = self._labels is not None
        self._findings = findings

    def build(self) -> None:
        """Start building what is missing."""
        if self._context_missing and self._case is not None:
            self._context_missing = False
            self._build_context(self._case)
        if self._organs_missing and self._labels is not None:
            self._organs_missing = False
            self._build_organs(self._labels, self._findings)

    def _build_context(self, case: Case) -> None:
        def work() -> tuple[Surface, ...]:
            from app.views.surfaces import build_context  # VTK loads with the first case

            # The window's thread needs it next, and would stand still while it loads.
            importlib.import_module("app.views.scene")
            return build_context(case.volume)

        def take(surfaces: tuple[Surface, ...]) -> None:
            self._num_building -= 1
            if case is self._case:
                self._context = surfaces
            self.changed.emit()

        self._num_building += 1
        self._run_task(work, on_success=take, on_failure=self._on_failure)

    def _build_organs(self, labels: LabelMap, findings: tuple[Finding, ...]) -> None:
        def work() -> tuple[Surface, ...]:
            from app.views.surfaces import build_surfaces  # VTK loads with the first case

            return build_surfaces(labels, findings)

        def take(surfaces: tuple[Surface, ...]) -> None:
            self._num_building -= 1
            if labels is self._labels and _places(findings) == _places(self._findings):
                self._organs = surfaces
                self.organs_built.emit()
            self.changed.emit()

        self._num_building += 1
        self._run_task(work, on_success=take, on_failure=self._on_failure)

    def _on_failure(self, error: IsletError) -> None:
        self._num_building -= 1
        log.warning("No surface was built: %s", error.message)
        self.changed.emit()


def _places(findings: tuple[Finding, ...]) -> list[object]:
    return [(finding.finding_id, finding.box_mm) for finding in findings]
