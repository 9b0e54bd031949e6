"""Every command of the window as a row; menus, shortcuts and the key sheet are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar

from app.theme import icon


@dataclass(frozen=True, slots=True)
class Action:
    """One command.

    Args:
        id: "<group>.<verb>"; what a controller listens for.
        text: As the menu shows it; an ellipsis says that a question follows.
        shortcut: Qt key sequences separated by a blank; the first is shown, empty for none.
        icon: Name for `theme.icon`; empty for none.
        needs: Facts that must hold for the command to make sense, see `FACTS`.
        menu: "Menu" or "Menu/Submenu".
        checkable: Whether it is switched on and off.
        held: Whether it lasts only while the key is down.
        ends_group: Whether the menu draws a line after it.
        hint: What the tooltip adds to the text.
    """

    id: str
    text: str
    shortcut: str = ""
    icon: str = ""
    needs: frozenset[str] = frozenset()
    menu: str = ""
    checkable: bool = False
    held: bool = False
    ends_group: bool = False
    hint: str = ""


FACTS = frozenset(
    {
        "case", "analysable", "idle", "job", "labels", "findings", "selected", "undo", "redo",
        "data_named", "run_asked", "run_chosen", "run_running", "run_resumable", "run_finishable",
        "run_stoppable", "run_deletable", "run_trained",
        "federation_chosen", "federation_startable", "federation_running", "federation_joinable",
        "federation_coordinated", "federation_serving", "federation_run_running",
        "federation_run_resumable", "federation_run_trained", "federation_idle",
    }
)  # fmt: skip
"""What an action may need: a case is open, it may be analysed, no job or a job runs, …

Those of training: a data set is named, the form is complete, one run is chosen and it runs, may
go on, may end early, may be stopped, may be deleted, has weights.

Those of federations: a folder is chosen, may start, runs, may join; is the coordinator's, whose
server runs; its run goes on, may be resumed, has weights; nothing runs in it.
"""

_CASE = frozenset({"case"})
_LABELS = frozenset({"labels"})
_FINDINGS = frozenset({"findings"})
_SELECTED = frozenset({"selected"})


@dataclass(frozen=True, slots=True)
class WindowPreset:
    """A density window a key calls up.

    Args:
        key: The digit.
        text: What it is for.
        width: In HU.
        centre: In HU.
    """

    key: str
    text: str
    width: float
    centre: float


# Values of viewer.md C3; those of the pancreas are a start that a site will want to edit.
PRESETS = (
    WindowPreset("1", "Abdomen", 400.0, 40.0),
    WindowPreset("2", "Pancreas, narrow", 250.0, 70.0),
    WindowPreset("3", "Liver", 150.0, 90.0),
    WindowPreset("4", "Lung", 1500.0, -600.0),
    WindowPreset("5", "Bone", 2500.0, 480.0),
    WindowPreset("6", "Angiography", 600.0, 170.0),
)


def _preset_action(preset: WindowPreset) -> Action:
    text = f"{preset.text}  {preset.width:g} / {preset.centre:g}"
    return Action(f"window.{preset.key}", text, preset.key, needs=_CASE, menu="View/Window")


def _recent_action(number: int) -> Action:
    return Action(f"recent.{number}", f"Recent {number}", f"Ctrl+{number}", menu="File/Open recent")


def _side_action(side: str) -> Action:
    return Action(f"camera.{side.lower()}", f"From {side.lower()}", needs=_CASE, menu="View/3D")


ACTIONS: tuple[Action, ...] = (
    Action(
        "case.open_folder", "Open folder…", "Ctrl+O", "folder-open-outline", menu="File",
        hint="A folder with DICOM series or images",
    ),
    Action(
        "case.open_file", "Open file…", "Ctrl+Shift+O", "file-outline", menu="File",
        hint="NIfTI, NRRD, MHA or one DICOM file",
    ),
    *(_recent_action(number) for number in range(1, 6)),
    Action("series.previous", "Previous series", "PgUp", needs=_CASE, menu="File"),
    Action("series.next", "Next series", "PgDown", needs=_CASE, menu="File", ends_group=True),
    Action("case.close", "Close case", "Ctrl+W", needs=_CASE, menu="File", ends_group=True),
    Action(
        "case.picture", "Save picture…", "Ctrl+Shift+P", "camera-outline", needs=_CASE,
        menu="File", ends_group=True,
    ),
    Action("app.quit", "Quit", "Ctrl+Q", menu="File"),
    Action("edit.undo", "Undo", "Ctrl+Z", "undo", frozenset({"undo"}), "Edit"),
    Action("edit.redo", "Redo", "Ctrl+Y Ctrl+Shift+Z", "redo", frozenset({"redo"}), "Edit"),
    Action("slice.previous", "Previous slice", "Up", needs=_CASE, menu="View/Slice"),
    Action("slice.next", "Next slice", "Down", needs=_CASE, menu="View/Slice"),
    Action("slice.back", "Ten slices back", "Shift+Up", needs=_CASE, menu="View/Slice"),
    Action("slice.forward", "Ten slices on", "Shift+Down", needs=_CASE, menu="View/Slice"),
    Action("slice.first", "First slice", "Home", needs=_CASE, menu="View/Slice"),
    Action("slice.last", "Last slice", "End", needs=_CASE, menu="View/Slice"),
    Action("window.0", "As the file says", "0", needs=_CASE, menu="View/Window"),
    *(_preset_action(preset) for preset in PRESETS),
    Action("layout.one", "One pane", "F2", "square-outline", _CASE, "View/Layout"),
    Action("layout.planes", "Three planes", "F3", "view-quilt-outline", _CASE, "View/Layout"),
    Action("layout.four", "Four panes", "F4", "view-grid-outline", _CASE, "View/Layout"),
    Action("layout.large", "Large axial", "Shift+F4", "view-dashboard-outline", _CASE,
           "View/Layout"),
    Action("view.reset", "Reset view", "R", "fit-to-page-outline", _CASE, "View"),
    Action("view.invert", "Invert", "I", needs=_CASE, menu="View", checkable=True),
    Action(
        "view.crosshair", "Crosshair", "X", "crosshairs", _CASE, "View", checkable=True,
        ends_group=True,
    ),
    Action("view.masks", "Masks", "S", "layers-outline", _LABELS, "View", checkable=True),
    Action("view.fill", "Fill or outline", "O", "vector-selection", _LABELS, "View",
           ends_group=True),
    Action("view.bare", "Hide all overlays", "Space", needs=_LABELS, menu="View", held=True),
    *(_side_action(side) for side in ("Anterior", "Posterior", "Left", "Right", "Head", "Feet")),
    Action("view.fullscreen", "Full screen", "F11", menu="View", checkable=True, ends_group=True),
    Action(
        "page.reading", "Reading", "Ctrl+R", "eye-outline", menu="View", checkable=True,
        hint="Read and analyse cases",
    ),
    Action(
        "page.training", "Training", "Ctrl+T", "chart-line", menu="View", checkable=True,
        hint="Train systems and follow their runs",
    ),
    Action(
        "page.federation", "Federation", "Ctrl+E", "hospital-building", menu="View",
        checkable=True, hint="Train together with other hospitals",
    ),
    Action(
        "case.analyse", "Find lesions", "Ctrl+Return Ctrl+Enter", "radar",
        frozenset({"case", "analysable", "idle"}), "Findings",
    ),
    Action(
        "job.cancel", "Cancel job", "Esc", "close-circle-outline", frozenset({"job"}),
        "Findings", ends_group=True,
    ),
    Action("finding.next", "Next finding", "N", "chevron-down", _FINDINGS, "Findings"),
    Action("finding.previous", "Previous finding", "Shift+N", "chevron-up", _FINDINGS,
           "Findings", ends_group=True),
    Action("finding.accept", "Accept", "Return Enter", "check", _SELECTED, "Findings"),
    Action("finding.reject", "Reject…", "Backspace", "close", _SELECTED, "Findings"),
    Action("run.new", "New run", "Ctrl+N", "plus", menu="Training",
           hint="Train a system on a data set"),
    Action(
        "run.choose_data", "Choose data set…", icon="folder-open-outline", menu="Training",
        hint="A folder in nnU-Net's or the Decathlon's layout",
    ),
    Action(
        "run.check", "Check data set", icon="database-search-outline",
        needs=frozenset({"data_named"}), menu="Training",
        hint="Read every case and list what would break a training",
    ),
    Action(
        "run.dry_run", "Dry run", icon="memory", needs=frozenset({"run_asked"}), menu="Training",
        hint="Predict the memory this run needs",
    ),
    Action(
        "run.start", "Start training", "Ctrl+Shift+Return Ctrl+Shift+Enter", "play",
        frozenset({"run_asked"}), "Training", ends_group=True,
    ),
    Action("run.pause", "Pause", icon="pause", needs=frozenset({"run_running"}), menu="Training",
           hint="Pause after this step, and keep the memory"),
    Action("run.resume", "Resume", icon="play", needs=frozenset({"run_resumable"}),
           menu="Training", hint="Go on from where it is"),
    Action("run.stop", "Stop", icon="stop", needs=frozenset({"run_stoppable"}), menu="Training",
           hint="Stop with a checkpoint, so that it can be resumed", ends_group=True),
    Action("run.finish", "Finish here", icon="flag-checkered", needs=frozenset({"run_finishable"}),
           menu="Training", hint="Train no further, and keep the weights of the last checkpoint"),
    Action(
        "run.register", "Use in viewer", icon="eye-plus-outline", needs=frozenset({"run_trained"}),
        menu="Training", hint="Make what this run trained a system that analyses cases",
    ),
    Action("run.folder", "Open run folder", icon="folder-outline",
           needs=frozenset({"run_chosen"}), menu="Training"),
    Action("run.delete", "Delete run…", icon="trash-can-outline",
           needs=frozenset({"run_deletable"}), menu="Training"),
    Action("federation.request", "Join a federation…", icon="account-plus-outline",
           menu="Federation", hint="Make a key and a request for the coordinator"),
    Action("federation.join", "Use the coordinator's answer…", icon="key-outline",
           needs=frozenset({"federation_joinable"}), menu="Federation"),
    Action("federation.coordinate", "Coordinate a federation…", icon="server-network",
           menu="Federation", hint="Make an authority and a server on this computer"),
    Action("federation.simulate", "Simulate a federation…", icon="flask-outline",
           menu="Federation", hint="Train sites of phantoms, or your own, on this computer"),
    Action("federation.open", "Open a federation's folder…", icon="folder-open-outline",
           menu="Federation", ends_group=True),
    Action("federation.start", "Start", icon="play",
           needs=frozenset({"federation_startable"}), menu="Federation",
           hint="Start this server, or take part as this site"),
    Action("federation.stop", "Stop", icon="stop", needs=frozenset({"federation_running"}),
           menu="Federation", hint="End what runs in this folder; nothing is lost",
           ends_group=True),
    Action("federation.approve", "Approve a request…", icon="account-check-outline",
           needs=frozenset({"federation_coordinated"}), menu="Federation"),
    Action("federation.revoke", "Revoke a site…", icon="account-cancel-outline",
           needs=frozenset({"federation_coordinated"}), menu="Federation", ends_group=True),
    Action("federation.run", "New federated run…", icon="plus",
           needs=frozenset({"federation_serving"}), menu="Federation"),
    Action("federation.stop_run", "Stop run", icon="stop",
           needs=frozenset({"federation_run_running"}), menu="Federation"),
    Action("federation.resume", "Resume run", icon="play",
           needs=frozenset({"federation_run_resumable"}), menu="Federation",
           hint="Go on from the last round that was aggregated"),
    Action("federation.register", "Use common model in viewer", icon="eye-plus-outline",
           needs=frozenset({"federation_run_trained"}), menu="Federation", ends_group=True),
    Action("federation.forget", "Take off the list", icon="close",
           needs=frozenset({"federation_chosen", "federation_idle"}), menu="Federation",
           hint="The folder stays where it is"),
    Action("help.keys", "Keys and mouse", "F1", "keyboard-outline", menu="Help"),
    Action("help.log", "Open log folder", menu="Help", ends_group=True),
    Action("help.about", "About Islet", menu="Help"),
)  # fmt: skip

TOOLBAR: tuple[str, ...] = (
    "case.open_folder", "case.analyse", "", "layout.one", "layout.planes", "layout.four", "",
    "view.crosshair", "view.masks", "view.fill", "view.reset", "", "edit.undo", "edit.redo",
)  # fmt: skip
"""Actions of the toolbar in their order; an empty name is a gap."""

PAGES: tuple[str, ...] = ("page.reading", "page.training", "page.federation")
"""Actions that change the whole window, at the far end of the toolbar."""


class ActionSet(QObject):
    """The actions as Qt knows them, switched on and off together as facts change."""

    triggered = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._rows = {row.id: row for row in ACTIONS}
        self._actions = {row.id: self._make(row, parent) for row in ACTIONS}
        self.set_facts(frozenset())

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def set_facts(self, facts: frozenset[str]) -> None:
        """Enable what makes sense while `facts` hold."""
        for action_id, action in self._actions.items():
            action.setEnabled(self._rows[action_id].needs <= facts)

    def fill(self, bar: QMenuBar) -> None:
        """Build every menu, in the order of the rows."""
        menus: dict[str, QMenu] = {}
        for row in ACTIONS:
            # What lasts while a key is down cannot be chosen with the mouse.
            if row.held:
                continue
            menu = _menu_for(row.menu, bar, menus)
            menu.addAction(self._actions[row.id])
            if row.ends_group:
                menu.addSeparator()

    def _make(self, row: Action, parent: QObject) -> QAction:
        action = QAction(row.text, parent)
        action.setObjectName(row.id)
        action.setCheckable(row.checkable)
        if row.icon:
            action.setIcon(icon(row.icon))
        if row.shortcut and not row.held:
            action.setShortcuts([QKeySequence(keys) for keys in row.shortcut.split()])
        action.setToolTip(tooltip_of(row))
        action.triggered.connect(_sender(self.triggered.emit, row.id))
        return action


def tooltip_of(row: Action) -> str:
    """Return the row's text with its first key, as a tooltip shows it."""
    first_key = row.shortcut.split()[0] if row.shortcut else ""
    words = [row.hint or row.text.rstrip("…"), f"({first_key})" if first_key else ""]
    return " ".join(word for word in words if word)


def _sender(emit: Callable[[str], None], action_id: str) -> Callable[[], None]:
    return lambda *_checked: emit(action_id)


def _menu_for(path: str, bar: QMenuBar, menus: dict[str, QMenu]) -> QMenu:
    if path not in menus:
        above, _, title = path.rpartition("/")
        menus[path] = (_menu_for(above, bar, menus) if above else bar).addMenu(title)
    return menus[path]
