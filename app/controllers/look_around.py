"""The keys that change how the case is looked at: slices, window, layout, overlays."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu

from app.actions import PRESETS, WindowPreset
from app.main_window import MainWindow
from app.session import DEFAULT_WINDOW_HU, Session
from app.views.slice_pane import Probe
from app.views.slice_text import hu_text


class LookAround(QObject):
    """Passes keys and the panes' context menu to the session and the panes."""

    def __init__(self, session: Session, window: MainWindow) -> None:
        super().__init__(window)
        self._session = session
        self._window = window
        self._grid = window.grid
        window.actions_by_id["view.crosshair"].setChecked(True)
        window.grid.menu_requested.connect(self._show_menu)

    def verbs(self) -> dict[str, Callable[[], None]]:
        """Return what this controller does, by action."""
        grid = self._grid
        presets = {f"window.{p.key}": self._preset_verb(p) for p in PRESETS}
        layouts = {
            f"layout.{name}": lambda name=name: grid.set_layout(name)
            for name in ("one", "planes", "four", "large")
        }
        cameras = {
            f"camera.{side}": lambda side=side: grid.set_camera(side)
            for side in ("anterior", "posterior", "left", "right", "head", "feet")
        }
        return {
            "slice.previous": lambda: grid.step(-1),
            "slice.next": lambda: grid.step(1),
            "slice.back": lambda: grid.step(-10),
            "slice.forward": lambda: grid.step(10),
            "slice.first": lambda: grid.go_to_end(last=False),
            "slice.last": lambda: grid.go_to_end(last=True),
            "window.0": self._default_window,
            **presets,
            **cameras,
            **layouts,
            "view.reset": grid.reset_view,
            "view.invert": lambda: grid.set_inverted(self._is_checked("view.invert")),
            "view.crosshair": lambda: grid.set_crosshair_shown(self._is_checked("view.crosshair")),
            "view.masks": self._toggle_masks,
            "view.fill": self._toggle_fill,
            "view.fullscreen": self._toggle_full_screen,
        }

    def _is_checked(self, action_id: str) -> bool:
        return self._window.actions_by_id[action_id].isChecked()

    def _preset_verb(self, preset: WindowPreset) -> Callable[[], None]:
        return lambda: self._session.set_window(preset.width, preset.centre)

    def _default_window(self) -> None:
        case = self._session.case
        window = case.window if case is not None and case.window else DEFAULT_WINDOW_HU
        self._session.set_window(*window)

    def _toggle_masks(self) -> None:
        any_visible = any(layer.visible for layer in self._session.layers)
        self._session.set_all_layers(visible=not any_visible)

    def _toggle_fill(self) -> None:
        any_filled = any(layer.filled for layer in self._session.layers)
        self._session.set_all_layers(filled=not any_filled, outlined=True)

    def _toggle_full_screen(self) -> None:
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()

    def _show_menu(self, position: QPoint, probe: Probe) -> None:
        menu = QMenu(self._window)
        actions = self._window.actions_by_id
        for number in range(len(PRESETS) + 1):
            menu.addAction(actions[f"window.{number}"])
        menu.addSeparator()
        for action_id in ("view.reset", "view.invert", "view.crosshair", "view.masks"):
            menu.addAction(actions[action_id])
        if probe.hu is not None:
            menu.addSeparator()
            text = hu_text(probe.hu)
            copy = menu.addAction(f"Copy {text} HU")
            copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(text))
        menu.exec(position)
        menu.deleteLater()
