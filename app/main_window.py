"""The frame of the program: menus, panels around the panes, and the foot of the window."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QFrame,
    QLabel,
    QLineEdit,
    QMainWindow,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QToolBar,
    QWidget,
)

from app import theme
from app.actions import PAGES, TOOLBAR, ActionSet
from app.panels import parts
from app.panels.banner import Banner
from app.panels.federation.page import FederationPage
from app.panels.findings import FindingsPanel
from app.panels.jobs import JobsBar
from app.panels.layers import LayersPanel
from app.panels.series import SeriesPanel
from app.panels.systems import SystemsPanel
from app.panels.training.page import TrainingPage
from app.session import Session
from app.views.view_grid import ViewGrid
from engine.case import Case
from engine.finding import Prediction
from engine.system import System

_SIDE_WIDTH = 270
_FINDINGS_WIDTH = 320


class MainWindow(QMainWindow):
    """Shows what the session holds, and passes the reader's wishes on.

    Args:
        session: What is open.
        grid: The panes.
        systems: Of the catalogue, and registered.
    """

    action_requested = Signal(str)
    open_requested = Signal(object)  # Path
    closing = Signal()

    def __init__(self, session: Session, grid: ViewGrid, systems: Iterable[System]) -> None:
        super().__init__()
        self._session = session
        self.grid = grid
        systems = tuple(systems)
        self.actions_by_id = ActionSet(self)
        self.findings = FindingsPanel()
        self.layers = LayersPanel()
        self.systems = SystemsPanel(systems)
        self.series = SeriesPanel()
        self.training = TrainingPage(systems, self.actions_by_id)
        self.federation = FederationPage(self.actions_by_id)
        self.jobs = JobsBar()
        self.banner = Banner()
        self.setWindowTitle("Islet – research use only")
        self.setAcceptDrops(True)
        self._build()
        self._connect_session()
        self._connect_grid()
        self._connect_panels()
        QApplication.instance().installEventFilter(self)  # type: ignore[union-attr]
        self.refresh_facts()

    # Puts the window together.

    def _build(self) -> None:
        self.actions_by_id.fill(self.menuBar())
        self.addToolBar(self._toolbar())
        self._pages = QStackedWidget()
        self._pages.addWidget(self._centre())
        self._pages.addWidget(self.training)
        self._pages.addWidget(self.federation)
        self.setCentralWidget(self._pages)
        status = self.statusBar()
        status.setSizeGripEnabled(False)
        self._status = QLabel()
        status.addWidget(self._status, 1)
        status.addPermanentWidget(self.jobs)
        mark = QLabel(theme.RESEARCH_USE)
        mark.setProperty("role", "research")
        status.addPermanentWidget(mark)

    def _toolbar(self) -> QToolBar:
        bar = QToolBar("Tools")
        bar.setMovable(False)
        bar.setIconSize(QSize(20, 20))
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        for action_id in TOOLBAR:
            if not action_id:
                bar.addSeparator()
                continue
            bar.addAction(self.actions_by_id[action_id])
            button = bar.widgetForAction(self.actions_by_id[action_id])
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for action_id in ("case.open_folder", "case.analyse"):
            button = bar.widgetForAction(self.actions_by_id[action_id])
            button.setProperty("toolButtonStyle", Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        stretch = QWidget()
        stretch.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        bar.addWidget(stretch)
        self._title = QLabel()
        self._title.setProperty("role", "quiet")
        self._title.setContentsMargins(0, 0, 10, 0)
        bar.addWidget(self._title)
        self._add_pages(bar)
        return bar

    def _add_pages(self, bar: QToolBar) -> None:
        group = QActionGroup(self)
        for action_id in PAGES:
            action = group.addAction(self.actions_by_id[action_id])
            action.setChecked(action_id == PAGES[0])
            bar.addAction(action)
            button = bar.widgetForAction(action)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setProperty("toolButtonStyle", Qt.ToolButtonStyle.ToolButtonTextBesideIcon)

    def _centre(self) -> QWidget:
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        left = _stack(self.series, self.systems, width=_SIDE_WIDTH)
        right = _stack(self.findings, self.layers, width=_FINDINGS_WIDTH)
        for widget in (left, self.grid, right):
            self._splitter.addWidget(widget)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([_SIDE_WIDTH, 1000, _FINDINGS_WIDTH])
        self._splitter.setCollapsible(1, False)
        centre = QWidget()
        box = parts.column(centre, spacing=0)
        box.addWidget(self.banner)
        box.addWidget(self._splitter, 1)
        return centre

    # Facts come in here.

    def _connect_session(self) -> None:
        session = self._session
        session.case_opened.connect(self._on_case_opened)
        session.series_found.connect(self.series.show_series)
        session.first_look_shown.connect(self.grid.show_first_look)
        session.prediction_shown.connect(self._on_prediction_shown)
        session.findings_changed.connect(self._on_findings_changed)
        session.finding_selected.connect(self._on_finding_selected)
        session.cursor_moved.connect(self.grid.set_cursor)
        session.window_changed.connect(self.grid.set_window)
        session.layers_changed.connect(self._on_layers_changed)
        session.system_chosen.connect(self._on_system_chosen)
        session.undo_stack.indexChanged.connect(self._on_undo_changed)

    def _connect_grid(self) -> None:
        self.grid.cursor_requested.connect(self._session.move_cursor)
        self.grid.window_requested.connect(self._session.set_window)
        self.grid.finding_requested.connect(self._session.select_finding)
        self.grid.status_changed.connect(self._status.setText)
        self.grid.opacity_requested.connect(self._session.change_opacity)

    def _connect_panels(self) -> None:
        ask = self.action_requested.emit
        self.actions_by_id.triggered.connect(ask)
        self.findings.select_requested.connect(self._session.select_finding)
        self.findings.accept_requested.connect(lambda id_: self._decide(id_, "finding.accept"))
        self.findings.reject_requested.connect(lambda id_: self._decide(id_, "finding.reject"))
        self.findings.analyse_requested.connect(lambda: ask("case.analyse"))
        self.layers.layer_requested.connect(self._session.set_layer)
        self.systems.system_requested.connect(self._session.choose_system)
        self.jobs.cancel_requested.connect(lambda: ask("job.cancel"))
        self.training.facts_changed.connect(self.refresh_facts)
        self.federation.facts_changed.connect(self.refresh_facts)

    def _decide(self, finding_id: str, action_id: str) -> None:
        if self._session.selected is None or self._session.selected.finding_id != finding_id:
            self._session.select_finding(finding_id)
        self.action_requested.emit(action_id)

    def _on_case_opened(self, case: Case | None) -> None:
        self.grid.show_case(case)
        self._show_wait()
        self.grid.show_labels(case.labels if case is not None else None, is_ai=False)
        self.banner.show_case(case)
        self.findings.show_case(case)
        description = case.identity.series_description if case is not None else ""
        self._title.setText(description)
        self.refresh_facts()

    def _show_wait(self) -> None:
        if self._session.case is None and self.jobs.is_busy:
            self.grid.show_notice("Opening…")

    def _on_prediction_shown(self, prediction: Prediction | None) -> None:
        if prediction is not None:
            self.grid.show_labels(prediction.labels, is_ai=True)
        subtypes = self.systems.subtypes_of(prediction.system) if prediction is not None else ()
        self.findings.show_prediction(prediction, subtypes)
        self.refresh_facts()

    def _on_findings_changed(self, findings: tuple) -> None:
        self.findings.show_findings(findings)
        self._show_findings_in_panes()
        self.refresh_facts()

    def _on_finding_selected(self, finding: object) -> None:
        self.findings.show_selected(self._session.selected)
        self._show_findings_in_panes()
        self.refresh_facts()

    def _show_findings_in_panes(self) -> None:
        selected = self._session.selected
        selected_id = selected.finding_id if selected is not None else None
        self.grid.show_findings(self._session.findings, selected_id)

    def _on_layers_changed(self, shown: tuple) -> None:
        self.grid.set_layers(shown)
        self.layers.show_layers(self._session.layers)
        masks = self.actions_by_id["view.masks"]
        masks.setChecked(any(layer.visible for layer in self._session.layers))
        self.refresh_facts()

    def _on_system_chosen(self, name: str) -> None:
        self.systems.show_system(name)
        self.refresh_facts()

    def _on_undo_changed(self, _index: int) -> None:
        self.refresh_facts()

    def refresh_facts(self) -> None:
        """Enable what makes sense now."""
        session = self._session
        reason = self._why_not_analysable()
        facts = {
            "case": session.case is not None,
            "analysable": session.case is not None and not reason,
            "idle": not self.jobs.is_busy,
            "job": self.jobs.is_busy,
            "labels": bool(session.layers),
            "findings": bool(session.findings),
            "selected": session.selected is not None,
            "undo": session.undo_stack.canUndo(),
            "redo": session.undo_stack.canRedo(),
        }
        holds = frozenset(name for name, is_true in facts.items() if is_true)
        # What cannot be seen has no keys: each page knows only its own commands.
        shown = getattr(self._pages.currentWidget(), "facts", holds)
        self.actions_by_id.set_facts(shown | (holds & {"job"}))
        tooltip = reason or "Look for lesions in the open case (Ctrl+Return)"
        self.actions_by_id["case.analyse"].setToolTip(tooltip)
        self.findings.set_analysable({"analysable", "idle"} <= holds, tooltip, reason)

    def _why_not_analysable(self) -> str:
        case, name = self._session.case, self._session.system_name
        if case is not None and case.volume.unsafe_reasons:
            return " ".join(("Not analysed:", *case.volume.unsafe_reasons))
        if not self.systems.can_analyse(name):
            return "The chosen system has no weights on this computer."
        return ""

    # Pages.

    def show_federation(self) -> None:
        """Show the federation page; the case stays as it is."""
        self._show_page(2)
        self.federation.setFocus()

    def show_training(self) -> None:
        """Show the training page; the case stays as it is."""
        self._show_page(1)
        self.training.setFocus()

    def show_reading(self) -> None:
        """Show the panes."""
        if self._pages.currentIndex():
            self._show_page(0)
            self.grid.pane("axial").setFocus()

    def _show_page(self, number: int) -> None:
        self._session.hold_back_overlays(False)
        self._pages.setCurrentIndex(number)
        self.actions_by_id[PAGES[number]].setChecked(True)
        self._status.clear()
        self.refresh_facts()

    # Jobs, as controllers tell of them.

    def begin_job(self, title: str) -> None:
        """Show that work has begun, where it will be seen."""
        self.show_reading()
        self.jobs.begin(title)
        self._show_wait()
        self.refresh_facts()

    def end_job(self) -> None:
        """Show that it is over."""
        self.jobs.end()
        if self._session.case is None:
            # Nor does a first slice stay when the rest does not come.
            self.grid.show_case(None)
        self.refresh_facts()

    def show_recents(self, recents: tuple[Path, ...]) -> None:
        """Name the recents in the menu; those without a path are hidden."""
        for number in range(1, 6):
            action = self.actions_by_id[f"recent.{number}"]
            action.setVisible(number <= len(recents))
            if number <= len(recents):
                # An ampersand in a name would become a mnemonic.
                action.setText(recents[number - 1].name.replace("&", "&&"))

    # Qt's own.

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        """Hold overlays back while Space is down."""
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if event.type() not in kinds or not isinstance(event, QKeyEvent):
            return False
        if event.key() != Qt.Key.Key_Space or not self._listens_for_keys():
            return False
        if not event.isAutoRepeat():
            self._session.hold_back_overlays(event.type() == QEvent.Type.KeyPress)
        return True

    def showEvent(self, event: QShowEvent) -> None:
        """Give the keys to the panes, not to the first button."""
        super().showEvent(event)
        self.grid.pane("axial").setFocus()

    def changeEvent(self, event: QEvent) -> None:
        """Give the overlays back when the window loses the keyboard with Space down."""
        if event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow():
            self._session.hold_back_overlays(False)
        super().changeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files and folders of this computer."""
        if _local_paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask for what was dropped; several files stand for their folder."""
        paths = _local_paths(event)
        if paths:
            event.acceptProposedAction()
            path = paths[0] if len(paths) == 1 else paths[0].parent
            # The drag ends before a dialog may open, or the file manager would hang.
            QTimer.singleShot(0, self, lambda: self.open_requested.emit(path))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Let the engine and the panes end in order."""
        QApplication.instance().removeEventFilter(self)  # type: ignore[union-attr]
        self.closing.emit()
        self.grid.close()
        super().closeEvent(event)

    def _listens_for_keys(self) -> bool:
        if QApplication.activeModalWidget() is not None or not self.isActiveWindow():
            return False
        if self._pages.currentIndex():
            return False
        return not isinstance(QApplication.focusWidget(), QLineEdit | QAbstractButton)


def _stack(upper: QWidget, lower: QWidget, *, width: int) -> QWidget:
    side = QWidget()
    side.setMinimumWidth(width - 50)
    box = parts.column(side, spacing=0)
    line = QFrame()
    line.setProperty("role", "line")
    line.setFixedHeight(1)
    box.addWidget(upper, 1)
    box.addWidget(line)
    box.addWidget(lower)
    return side


def _local_paths(event: QDropEvent) -> list[Path]:
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
