"""The four panes with their one crosshair."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QCloseEvent, QFocusEvent, QImage
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app import theme
from app.session import Layer
from app.views.plane import PLANES
from app.views.slice_pane import Position, Probe
from app.views.slice_text import hu_text
from app.views.slice_view import SliceView
from app.views.surface_store import RunTask
from app.views.volume_view import VolumeView
from engine.case import Case
from engine.finding import Finding
from engine.volume import LabelMap, Volume

_PANES = (*PLANES, "volume")
_BY_TAB = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)

# Per layout: pane -> (row, column, rows, columns).
LAYOUTS = {
    "four": {"axial": (0, 0, 1, 1), "coronal": (0, 1, 1, 1), "sagittal": (1, 0, 1, 1),
             "volume": (1, 1, 1, 1)},
    "large": {"axial": (0, 0, 3, 1), "coronal": (0, 1, 1, 1), "sagittal": (1, 1, 1, 1),
              "volume": (2, 1, 1, 1)},
    "planes": {"axial": (0, 0, 2, 1), "coronal": (0, 1, 1, 1), "sagittal": (1, 1, 1, 1)},
}  # fmt: skip


class ViewGrid(QWidget):
    """Shows a case from four sides; every change of what is shown is asked for, not made."""

    cursor_requested = Signal(object)  # (x, y, z) LPS in mm
    window_requested = Signal(float, float)  # width, centre
    finding_requested = Signal(str)  # finding_id
    opacity_requested = Signal(float)  # change of the masks' opacity
    menu_requested = Signal(QPoint, object)  # global position, Probe
    status_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None, *, run_task: RunTask | None = None) -> None:
        super().__init__(parent)
        self._planes = {name: SliceView(name) for name in PLANES}
        self._volume_view = VolumeView(run_task=run_task)
        self._panes: dict[str, SliceView | VolumeView] = {
            **self._planes,
            "volume": self._volume_view,
        }
        self._layout_name = "four"
        self._maximised: str | None = None
        self._active = "axial"
        self._banner = _make_banner()
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(theme.GAP)
        outer = QGridLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(theme.GAP)
        outer.addWidget(self._banner, 0, 0)
        outer.addLayout(self._grid, 1, 0)
        outer.setRowStretch(1, 1)
        self._connect()
        self._arrange()
        self.set_active_view("axial")
        self.show_case(None)

    @property
    def active_view(self) -> str:
        """Name of the pane that keys act on."""
        return self._active

    def pane(self, name: str) -> SliceView | VolumeView:
        """Return one pane: "axial", "coronal", "sagittal" or "volume"."""
        return self._panes[name]

    def show_case(self, case: Case | None) -> None:
        """Show a case from its middle, or nothing."""
        notice = "" if case is not None else "Open a CT to begin"
        volume = case.volume if case is not None else None
        for view in self._planes.values():
            view.show_volume(volume, case, notice)
        self._volume_view.show_case(case)
        self._show_warning(volume)

    def show_notice(self, notice: str) -> None:
        """Show nothing but `notice`, e.g. that a case is being opened."""
        for view in self._planes.values():
            view.show_volume(None, None, notice)
        self._volume_view.show_case(None)
        self._show_warning(None)

    def show_first_look(self, volume: Volume) -> None:
        """Show a single slice while the rest is being read."""
        for view in self._planes.values():
            view.show_volume(volume, None, "Reading the whole volume…")
        self._volume_view.show_case(None)
        self._show_warning(None)

    def show_labels(self, labels: LabelMap | None, is_ai: bool) -> None:
        """Draw a label map in every pane; marks of an AI are dashed until confirmed."""
        for view in self._planes.values():
            view.show_labels(labels, is_ai=is_ai)
        self._volume_view.show_labels(labels, is_ai=is_ai)

    def show_findings(self, findings: tuple[Finding, ...], selected_id: str | None) -> None:
        """Draw findings in every pane, one of them highlighted."""
        for view in self._planes.values():
            view.show_findings(findings, selected_id)
        self._volume_view.show_findings(findings, selected_id)

    def set_cursor(self, position_mm: Position) -> None:
        """Move the crosshair of every pane to (x, y, z) LPS in mm."""
        for view in self._planes.values():
            view.set_cursor(position_mm)
        self._volume_view.set_cursor(position_mm)

    def set_window(self, width: float, centre: float) -> None:
        """Show densities from centre - width / 2 to centre + width / 2, in HU."""
        for view in self._planes.values():
            view.set_window(width, centre)

    def set_layers(self, layers: tuple[Layer, ...]) -> None:
        """Draw structures as their layers say."""
        for view in self._planes.values():
            view.set_layers(layers)
        self._volume_view.set_layers(layers)

    def set_inverted(self, inverted: bool) -> None:
        """Show dense tissue dark."""
        for view in self._planes.values():
            view.set_inverted(inverted)

    def set_crosshair_shown(self, shown: bool) -> None:
        """Draw the crosshair, or not."""
        for view in self._planes.values():
            view.set_crosshair_shown(shown)

    def set_layout(self, name: str) -> None:
        """Arrange the panes: "four", "large", "planes", or "one" for the active pane alone."""
        if name == "one":
            self.maximise(self._active)
            return
        self._layout_name, self._maximised = name, None
        self._arrange()

    def maximise(self, name: str | None) -> None:
        """Show one pane alone, or all of them with None."""
        self._maximised = name
        self._arrange()

    def set_active_view(self, name: str) -> None:
        """Let keys act on one pane."""
        self._active = name
        for pane_name, pane in self._panes.items():
            pane.set_active(pane_name == name)

    def step(self, count: int) -> None:
        """Ask for the slice `count` further in the active pane."""
        self._active_plane().step(count)

    def go_to_end(self, *, last: bool) -> None:
        """Ask for the first or last slice of the active pane."""
        self._active_plane().go_to_end(last=last)

    def set_camera(self, preset: str) -> None:
        """Look at the volume from a side: anterior, posterior, left, right, head or feet."""
        self._volume_view.set_camera(preset)

    def reset_view(self) -> None:
        """Show every plane whole, and the volume from the front."""
        for pane in self._panes.values():
            pane.reset_view()

    def grab_picture(self) -> QImage:
        """Return what the panes show, research-use marks included."""
        self.finish_frame()
        return self.grab().toImage()

    def finish_frame(self) -> None:
        """Render the 3D frame that waits for its timer."""
        self._volume_view.finish_frame()

    def _active_plane(self) -> SliceView:
        return self._planes.get(self._active, self._planes["axial"])

    def _connect(self) -> None:
        for view in self._planes.values():
            view.cursor_requested.connect(self.cursor_requested)
            view.window_requested.connect(self.window_requested)
            view.opacity_requested.connect(self.opacity_requested)
            view.menu_requested.connect(self.menu_requested)
            view.probed.connect(self._on_probed)
        for name, pane in self._panes.items():
            pane.finding_requested.connect(self.finding_requested)
            pane.maximise_requested.connect(lambda name=name: self._toggle_maximised(name))
            pane.activated.connect(lambda name=name: self.set_active_view(name))
            pane.installEventFilter(self)

    def _toggle_maximised(self, name: str) -> None:
        self.maximise(None if self._maximised == name else name)

    def _arrange(self) -> None:
        places = LAYOUTS[self._layout_name]
        if self._maximised is not None:
            places = {self._maximised: (0, 0, 1, 1)}
        for pane in self._panes.values():
            self._grid.removeWidget(pane)
        for name, (row, column, rows, columns) in places.items():
            self._grid.addWidget(self._panes[name], row, column, rows, columns)
        for row in range(3):
            self._grid.setRowStretch(
                row, int(any(r <= row < r + n for r, _, n, _ in places.values()))
            )
        large = self._layout_name == "large" and self._maximised is None
        self._grid.setColumnStretch(0, 2 if large else 1)
        self._grid.setColumnStretch(1, int(any(c + n > 1 for _, c, _, n in places.values())))
        for name, pane in self._panes.items():
            pane.setVisible(name in places)
        if self._active not in places:
            self.set_active_view(next(iter(places)))

    def _show_warning(self, volume: Volume | None) -> None:
        reasons = volume.unsafe_reasons if volume is not None else ()
        self._banner.setText("Not analysed: " + " ".join(reasons))
        self._banner.setVisible(bool(reasons))

    def _on_probed(self, probe: Probe | None) -> None:
        if probe is None:
            self.status_changed.emit("")
            return
        x, y, z = (f"{value:.1f}".replace("-", "−") for value in probe.position_mm)
        hu = f"   {hu_text(probe.hu)} HU" if probe.hu is not None else ""
        self.status_changed.emit(f"x {x}  y {y}  z {z} mm{hu}")

    def eventFilter(self, pane: QObject, event: QEvent) -> bool:
        """Let the Tab key choose the pane that keys act on."""
        if isinstance(event, QFocusEvent) and event.reason() in _BY_TAB and event.gotFocus():
            self.set_active_view(next(name for name, own in self._panes.items() if own is pane))
        return False

    def closeEvent(self, event: QCloseEvent) -> None:
        """Give the graphics memory back."""
        self._volume_view.finalize()
        super().closeEvent(event)


def _make_banner() -> QLabel:
    banner = QLabel()
    banner.setObjectName("warning_banner")
    banner.setWordWrap(True)
    banner.setAlignment(Qt.AlignmentFlag.AlignCenter)
    banner.setStyleSheet(
        f"background: {theme.WARNING}; color: {theme.ON_WARNING}; padding: 4px; font-weight: 600;"
    )
    return banner
