"""What is open now: the one place that holds it, with one signal per fact."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from engine.case import Case
from engine.finding import Finding, Prediction, Review
from engine.volume import LabelMap, Volume

log = logging.getLogger(__name__)

DEFAULT_WINDOW_HU = (400.0, 40.0)
"""(width, centre) of the abdomen preset, used where the file names no window of its own."""


@dataclass(frozen=True, slots=True)
class Layer:
    """How one structure of a label map is drawn.

    Args:
        structure: Name of the labelled structure.
        visible: Whether its mask is drawn at all, in the planes and in 3D.
        filled: Whether its inside is tinted in the planes.
        outlined: Whether its border is drawn in the planes.
        opacity: Of the tint, 0 to 1.
        boxes: Whether the boxes of its findings are drawn.
    """

    structure: str
    visible: bool = True
    filled: bool = True
    outlined: bool = True
    opacity: float = 0.25
    boxes: bool = True


class Session(QObject):
    """Holds what is open and tells whoever listens; nothing else keeps a copy.

    Positions are (x, y, z) LPS in mm, windows are (width, centre) in HU.
    """

    case_opened = Signal(object)  # Case | None
    series_found = Signal(object, object)  # tuple[Source, ...], the Source that is open
    first_look_shown = Signal(object)  # Volume of one slice
    prediction_shown = Signal(object)  # Prediction | None
    findings_changed = Signal(object)  # tuple[Finding, ...]
    finding_selected = Signal(object)  # Finding | None
    cursor_moved = Signal(object)  # position_mm
    window_changed = Signal(float, float)  # width, centre
    layers_changed = Signal(object)  # tuple[Layer, ...] as they are to be drawn
    system_chosen = Signal(str)
    systems_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.undo_stack = QUndoStack(self)
        self._case: Case | None = None
        self._prediction: Prediction | None = None
        self._findings: tuple[Finding, ...] = ()
        self._selected_id: str | None = None
        self._cursor_mm: tuple[float, float, float] | None = None
        self._window_hu = DEFAULT_WINDOW_HU
        self._layers: tuple[Layer, ...] = ()
        self._layer_choices: dict[str, Layer] = {}
        self._overlays_held_back = False
        self._system_name = ""

    @property
    def case(self) -> Case | None:
        """The open case, or None."""
        return self._case

    @property
    def prediction(self) -> Prediction | None:
        """What the engine said about the open case, or None."""
        return self._prediction

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings as the reader left them, in the order of the prediction."""
        return self._findings

    @property
    def selected(self) -> Finding | None:
        """The finding the reader looks at, or None."""
        return next((f for f in self._findings if f.finding_id == self._selected_id), None)

    @property
    def cursor_mm(self) -> tuple[float, float, float] | None:
        """(x, y, z) LPS of the crosshair in mm, or None before a case is open."""
        return self._cursor_mm

    @property
    def window_hu(self) -> tuple[float, float]:
        """(width, centre) in HU."""
        return self._window_hu

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The reader's choice for every structure, whether or not overlays are held back."""
        return self._layers

    @property
    def shown_layers(self) -> tuple[Layer, ...]:
        """The layers as they are to be drawn: nothing while overlays are held back."""
        if not self._overlays_held_back:
            return self._layers
        return tuple(replace(layer, visible=False, boxes=False) for layer in self._layers)

    @property
    def system_name(self) -> str:
        """The system that analyses the next case."""
        return self._system_name

    @property
    def labels(self) -> LabelMap | None:
        """The label map to draw: the engine's where there is one, else the reference."""
        if self._prediction is not None:
            return self._prediction.labels
        return self._case.labels if self._case is not None else None

    def show_series(self, sources: tuple[object, ...], chosen: object) -> None:
        """Say which series the opened folder holds, and which one is being read."""
        self.series_found.emit(sources, chosen)

    def show_first_look(self, volume: Volume) -> None:
        """Show one slice while the rest is still being read."""
        self.first_look_shown.emit(volume)

    def open_case(self, case: Case | None) -> None:
        """Replace the open case by `case`, or close it with None."""
        self.undo_stack.clear()
        self._case = case
        self._prediction, self._findings, self._selected_id = None, (), None
        self._layers = self._layers_for(case.labels if case is not None else None)
        self._cursor_mm = _centre_mm(case.volume) if case is not None else None
        self.case_opened.emit(case)
        self.prediction_shown.emit(None)
        self.findings_changed.emit(())
        self.finding_selected.emit(None)
        self.layers_changed.emit(self.shown_layers)
        if case is not None:
            self.set_window(*(case.window or DEFAULT_WINDOW_HU))
        if self._cursor_mm is not None:
            self.cursor_moved.emit(self._cursor_mm)

    def show_prediction(
        self, prediction: Prediction, reviewed: tuple[Finding, ...] | None = None
    ) -> bool:
        """Show what the engine found, unless its case is no longer open.

        The window, zoom and slice stay as the reader left them.

        Args:
            prediction: The engine's answer.
            reviewed: Its findings with a reader's earlier decisions, where there are any.

        Returns:
            Whether it was shown.
        """
        if self._case is None or prediction.case_id != self._case.case_id:
            log.info("Dropped a late prediction for a case that is no longer open")
            return False
        self.undo_stack.clear()
        self._prediction = prediction
        self._findings = prediction.findings if reviewed is None else reviewed
        self._selected_id = None
        self._layers = self._layers_for(prediction.labels)
        self.layers_changed.emit(self.shown_layers)
        self.prediction_shown.emit(prediction)
        self.findings_changed.emit(self._findings)
        self.finding_selected.emit(None)
        return True

    def select_finding(self, finding_id: str | None) -> None:
        """Look at one finding: every pane jumps to its centre."""
        self._selected_id = finding_id
        selected = self.selected
        self.finding_selected.emit(selected)
        if selected is not None:
            self.move_cursor(selected.centre_mm)

    def review(self, finding_id: str, review: Review, reason: str = "") -> None:
        """Record a reader's decision about a finding; undoable.

        Raises:
            KeyError: If there is no such finding.
        """
        before = next((f for f in self._findings if f.finding_id == finding_id), None)
        if before is None:
            raise KeyError(finding_id)
        after = replace(before, review=review, reason=reason)
        if after != before:
            self.undo_stack.push(_ReviewCommand(self, before, after))

    def move_cursor(self, position_mm: tuple[float, float, float]) -> None:
        """Move the crosshair of every pane to (x, y, z) LPS in mm."""
        self._cursor_mm = position_mm
        self.cursor_moved.emit(position_mm)

    def set_window(self, width: float, centre: float) -> None:
        """Show densities from centre - width / 2 to centre + width / 2, in HU."""
        self._window_hu = (float(width), float(centre))
        self.window_changed.emit(*self._window_hu)

    def set_layer(self, layer: Layer) -> None:
        """Draw one structure in another way."""
        self._replace_layers(
            tuple(layer if old.structure == layer.structure else old for old in self._layers)
        )

    def set_all_layers(self, **changes: bool | float) -> None:
        """Change the same property of every layer, e.g. `visible=False`."""
        self._replace_layers(tuple(replace(layer, **changes) for layer in self._layers))

    def change_opacity(self, change: float) -> None:
        """Make every mask stronger or fainter by `change`, within 0 to 1."""
        self._replace_layers(
            tuple(
                replace(layer, opacity=min(max(layer.opacity + change, 0.0), 1.0))
                for layer in self._layers
            )
        )

    def hold_back_overlays(self, held_back: bool) -> None:
        """Show the bare picture for as long as the reader asks, then everything as it was."""
        if held_back != self._overlays_held_back:
            self._overlays_held_back = held_back
            self.layers_changed.emit(self.shown_layers)

    def choose_system(self, name: str) -> None:
        """Analyse the next case with the system called `name`."""
        self._system_name = name
        self.system_chosen.emit(name)

    def change_systems(self) -> None:
        """Say that a system was registered or removed on this computer."""
        self.systems_changed.emit()

    def replace_finding(self, finding: Finding) -> None:
        """Put `finding` where the one of the same id was; called by the undo stack."""
        self._findings = tuple(
            finding if old.finding_id == finding.finding_id else old for old in self._findings
        )
        self.findings_changed.emit(self._findings)
        if self._selected_id == finding.finding_id:
            self.finding_selected.emit(finding)

    def _replace_layers(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers
        self._layer_choices.update({layer.structure: layer for layer in layers})
        self.layers_changed.emit(self.shown_layers)

    def _layers_for(self, labels: LabelMap | None) -> tuple[Layer, ...]:
        """Keep the reader's choices, made in this case or an earlier one."""
        names = labels.names.values() if labels is not None else ()
        return tuple(self._layer_choices.get(name, Layer(name)) for name in names)


class _ReviewCommand(QUndoCommand):
    """One decision about one finding."""

    def __init__(self, session: Session, before: Finding, after: Finding) -> None:
        super().__init__(f"{after.review.value.capitalize()} {after.finding_id}")
        self._session = session
        self._before = before
        self._after = after

    def redo(self) -> None:
        """Apply the decision."""
        self._session.replace_finding(self._after)

    def undo(self) -> None:
        """Return to the decision before it."""
        self._session.replace_finding(self._before)


def _centre_mm(volume: Volume) -> tuple[float, float, float]:
    middle = [[size // 2 for size in volume.geometry.shape]]
    x, y, z = volume.geometry.to_patient(middle)[0]
    return (float(x), float(y), float(z))
