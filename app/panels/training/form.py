"""The form of a new run: on what, which system, how, and what that will need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QWidget,
)

from app.actions import ActionSet
from app.panels import parts
from app.panels.training import words
from app.panels.training.check_view import CheckView
from app.panels.training.dry_run_view import DryRunView
from app.panels.training.pieces import CalmSpinBox, Card, Segments, action_button, drop_down
from app.tasks.run_request import ALL_CASES, NUM_FOLDS, RunRequest, safe_name
from engine.archive.run_events import DryRun
from engine.catalogue.variants import has_shipped_localiser
from engine.data.dataset_check import DatasetReport
from engine.errors import IsletError
from engine.system import System

_SIZE_HINTS = {
    "toy": "Minutes on any computer: to see that everything works",
    "small": "Hours on a computer without a graphics card",
    "full": "As its source describes it; asks for a graphics card",
}


class NewRunForm(QScrollArea):
    """Gathers a RunRequest; the dry run and the check of the data stand beside it.

    Args:
        systems: What can be trained.
        actions: The commands of the form's buttons.
    """

    changed = Signal()
    data_chosen = Signal(object)  # Path

    def __init__(self, systems: Iterable[System], actions: ActionSet) -> None:
        super().__init__()
        self._systems = {system.name: system for system in systems}
        self._counts: Mapping[tuple[str, str], int] = {}
        self._taken_names: frozenset[str] = frozenset()
        self._own_name = False
        self._make_fields()
        self._actions = actions
        self.check = CheckView()
        self.dry_run = DryRunView()
        self._lay_out()
        self._connect()
        self.setAcceptDrops(True)
        self._on_system_changed()

    @property
    def data(self) -> Path | None:
        """The data set that is named; None before one is."""
        text = self.data_field.text().strip()
        return Path(text).expanduser() if text else None

    @property
    def is_ready(self) -> bool:
        """Whether a run could be asked for."""
        return self.data is not None and bool(self.obstacle_to_name() == "")

    @property
    def request(self) -> RunRequest | None:
        """What is asked for; None while something is missing."""
        if self.data is None or not self.is_ready:
            return None
        fold = self.fold.currentData()
        system = self._systems[self.system.currentData()]
        is_served = has_shipped_localiser(system.at(self.size_choice.choice))
        head = self.head.choice if _has_classifier(system) else ""
        return RunRequest(
            name=self.name.text().strip(),
            data=self.data,
            system=self.system.currentData(),
            size=self.size_choice.choice,
            fold=None if fold == ALL_CASES else fold,
            epochs=self.epochs.value() if self.epochs.value() else None,
            device=self.device.currentData(),
            num_devices=self.num_devices.value(),
            head=head,
            augment_on=self.augment.currentData(),
            uses_shipped_localiser=is_served and self.shipped.isChecked(),
            skips_broken=self.skip_broken.isChecked(),
        )

    def obstacle_to_name(self) -> str:
        """Say what is wrong with the run's name; empty where nothing is."""
        name = self.name.text().strip()
        if not name:
            return "A run needs a name."
        if name != safe_name(name):
            return "Use letters, digits, points, hyphens and underscores only."
        return "There is a run of that name." if name in self._taken_names else ""

    def choose_data(self, folder: Path) -> None:
        """Name the data set."""
        self.data_field.setText(str(folder))
        self._announce_data()

    def offer_devices(self, devices: tuple[str, ...]) -> None:
        """Offer what this computer can compute on, e.g. ("cpu", "cuda:0")."""
        chosen = self.device.currentData()
        with QSignalBlocker(self.device):
            self.device.clear()
            self.device.addItem("Best there is", "auto")
            for device in devices:
                self.device.addItem(_device_text(device), device)
            self.device.setCurrentIndex(max(self.device.findData(chosen), 0))

    def offer_systems(self, systems: Iterable[System]) -> None:
        """Replace what can be trained; the chosen one stays chosen."""
        chosen = self.system.currentData()
        self._systems = {system.name: system for system in systems}
        with QSignalBlocker(self.system):
            self.system.clear()
            for system in self._systems.values():
                self.system.addItem(system.title, system.name)
            self.system.setCurrentIndex(max(self.system.findData(chosen), 0))
        self._on_system_changed()

    def choose_system(self, name: str) -> None:
        """Choose the system called `name`, where it can be trained."""
        index = self.system.findData(name)
        if index >= 0:
            self.system.setCurrentIndex(index)

    def show_counts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Show the number of parameters of (system, size)."""
        self._counts = counts
        self._word_sizes()

    def show_taken_names(self, names: Iterable[str]) -> None:
        """Hear which runs there are."""
        self._taken_names = frozenset(names)
        if not self._own_name:
            self._propose_name()
        self._refresh()

    def show_report(self, report: DatasetReport) -> None:
        """Show what the check of the data set found."""
        self.check.show_result(report)
        self.skip_broken.setVisible(bool(report.fatal))
        if not report.fatal:
            self.skip_broken.setChecked(False)

    def show_dry_run(self, answer: DryRun | IsletError | None, *, is_busy: bool = False) -> None:
        """Show what was predicted, what stands in the way, or that it is being worked out."""
        self.dry_run.show_answer(answer, is_busy=is_busy)

    def show_waiting(self, is_waiting: bool) -> None:
        """Say whether the run would wait for another one."""
        text = "Add to queue" if is_waiting else "Start training"
        self._actions["run.start"].setText(text)

    # Qt's own.

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept a folder of this computer."""
        if _dropped_folder(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the dropped folder as the data set."""
        folder = _dropped_folder(event)
        if folder is not None:
            event.acceptProposedAction()
            self.choose_data(folder)

    # Puts the form together.

    def _make_fields(self) -> None:
        self.data_field = QLineEdit()
        self.data_field.setPlaceholderText("nnU-Net or Decathlon folder; drop one here")
        self.system = drop_down("What is trained")
        for system in self._systems.values():
            self.system.addItem(system.title, system.name)
        self.source = parts.quiet("")
        self.size_choice = Segments(name="Size")
        self.head = Segments(
            (("own", "Its own"), ("staged", "Staged"), ("paper", "Joint")), name="Classifier"
        )
        self.head.button("own").setToolTip("As the system's catalogue entry says")
        self.head.button("staged").setToolTip(
            "Segmentation first, then the classifier on frozen features: it does not collapse"
        )
        self.head.button("paper").setToolTip(
            "Together with the segmentation, as the paper trains it"
        )
        self.shipped = QCheckBox("Find the pancreas with the localiser that ships with Islet")
        self.shipped.setToolTip("Saves the time to train one of its own first")
        self.skip_broken = QCheckBox("Train without the broken cases")
        self.skip_broken.hide()
        self.fold = drop_down("Which fifth of the cases is kept for validation")
        for fold in range(NUM_FOLDS):
            self.fold.addItem(f"Validate on fold {fold}", fold)
        self.fold.addItem("Train on all cases, validate on none", ALL_CASES)
        self.epochs = CalmSpinBox()
        self.epochs.setRange(0, 100_000)
        self.epochs.setSpecialValueText("As the system says")
        self.device = drop_down("Where the network is computed")
        self.num_devices = CalmSpinBox()
        self.num_devices.setRange(1, 64)
        self.num_devices.setToolTip("Processes that share every batch")
        self.augment = drop_down("Where patches are changed at random")
        self.augment.addItem("Automatic", "")
        self.augment.addItem("Training device", "device")
        self.augment.addItem("Loading threads (CPU)", "cpu")
        self.name = QLineEdit()
        self.name.setMaxLength(80)
        self.name_note = QLabel()
        self.name_note.setProperty("role", "obstacle")
        self.offer_devices(("cpu",))

    def _lay_out(self) -> None:
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(16, 14, 16, 14)
        grid.setSpacing(12)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        title = QLabel("New run")
        title.setProperty("role", "title")
        grid.addWidget(title, 0, 0, 1, 2)
        grid.addWidget(self._data_card(), 1, 0)
        grid.addWidget(self._system_card(), 2, 0)
        grid.addWidget(self._training_card(), 3, 0)
        grid.addWidget(self._check_card(), 1, 1, 2, 1)
        grid.addWidget(self._start_card(), 3, 1)
        grid.setRowStretch(4, 1)
        body.setMaximumWidth(1240)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _data_card(self) -> Card:
        card = Card("Data set")
        card.add_field("Folder", self.data_field, action_button(self._actions["run.choose_data"]))
        card.end()
        return card

    def _system_card(self) -> Card:
        card = Card("System")
        card.add_field("System", self.system)
        card.body.addWidget(self.source)
        card.add_field("Size", self.size_choice)
        self.head_label = card.add_field("Classifier", self.head)
        card.add_field("", self.shipped)
        card.end()
        return card

    def _training_card(self) -> Card:
        card = Card("Training")
        card.add_field("Fold", self.fold)
        card.add_field("Epochs", self.epochs)
        self.devices_label = QLabel("×")
        card.add_field("Device", self.device, self.devices_label, self.num_devices)
        card.add_field("Augment on", self.augment)
        card.end()
        return card

    def _check_card(self) -> Card:
        card = Card("Check of the data")
        card.body.addWidget(self.check, 1)
        line = parts.row(self.skip_broken)
        line.addStretch(1)
        line.addWidget(action_button(self._actions["run.check"]))
        card.body.addLayout(line)
        return card

    def _start_card(self) -> Card:
        card = Card("Run")
        card.add_field("Name", self.name)
        card.body.addWidget(self.name_note)
        card.body.addWidget(self.dry_run)
        card.body.addStretch(1)
        line = parts.row(action_button(self._actions["run.dry_run"]))
        line.addStretch(1)
        line.addWidget(action_button(self._actions["run.start"], role="primary"))
        card.body.addLayout(line)
        return card

    def _connect(self) -> None:
        self.data_field.textChanged.connect(lambda _: self._refresh())
        self.data_field.editingFinished.connect(self._announce_data)
        self.system.currentIndexChanged.connect(lambda _: self._on_system_changed())
        self.size_choice.chosen.connect(lambda _: self._on_plan_changed())
        self.head.chosen.connect(lambda _: self._on_plan_changed())
        self.fold.currentIndexChanged.connect(lambda _: self._on_plan_changed())
        self.device.currentIndexChanged.connect(lambda _: self._on_plan_changed())
        self.epochs.valueChanged.connect(lambda _: self._refresh())
        self.num_devices.valueChanged.connect(lambda _: self._on_plan_changed())
        self.name.textEdited.connect(lambda _: self._on_name_edited())

    # Follows the choices.

    def _announce_data(self) -> None:
        folder = self.data
        if folder is not None and folder != self.check.folder:
            self.check.forget(folder)
            self.data_chosen.emit(folder)

    def _on_system_changed(self) -> None:
        system = self._systems.get(self.system.currentData())
        if system is None:
            return
        self.system.setToolTip(system.title)
        self.source.setText(system.source)
        sizes = ("toy", "small", "full")
        self.size_choice.offer([(s, s) for s in sizes if s == "full" or s in system.sizes])
        for widget in (self.head_label, self.head):
            widget.setVisible(_has_classifier(system))
        self._word_sizes()
        self._on_plan_changed()

    def _word_sizes(self) -> None:
        name = self.system.currentData()
        for size in ("toy", "small", "full"):
            if size != "full" and size not in self._systems[name].sizes:
                continue
            count = self._counts.get((name, size))
            text = size.capitalize()
            amount = f"  {words.parameters(count)}" if count is not None else ""
            exactly = f"{count:,} parameters. " if count is not None else ""
            self.size_choice.set_text(size, text + amount, f"{exactly}{_SIZE_HINTS[size]}")
        self.epochs.setSpecialValueText(f"As the system says ({self._system_epochs()})")

    def _system_epochs(self) -> int:
        return self._sized().training.epochs

    def _sized(self) -> System:
        return self._systems[self.system.currentData()].at(self.size_choice.choice)

    def _on_plan_changed(self) -> None:
        # What was predicted was predicted for another plan.
        self.dry_run.show_answer(None)
        self.epochs.setSpecialValueText(f"As the system says ({self._system_epochs()})")
        self.shipped.setVisible(has_shipped_localiser(self._sized()))
        if not self._own_name:
            self._propose_name()
        self._refresh()

    def _on_name_edited(self) -> None:
        self._own_name = bool(self.name.text().strip())
        self._refresh()

    def _propose_name(self) -> None:
        fold = self.fold.currentData()
        words_ = [self.system.currentData() or "run", self.size_choice.choice]
        words_.append("all" if fold == ALL_CASES else f"fold{fold}")
        base = safe_name("-".join(words_))
        number = 1
        name = base
        while name in self._taken_names:
            number += 1
            name = f"{base}-{number}"
        self.name.setText(name)

    def _refresh(self) -> None:
        obstacle = self.obstacle_to_name()
        self.name_note.setText(obstacle)
        self.name_note.setVisible(bool(obstacle))
        self.changed.emit()


def _has_classifier(system: System) -> bool:
    """Return whether the way its subtype head is trained can be chosen."""
    return bool({"subtype", "subtype_joint"} & set(system.head_names))


def _device_text(device: str) -> str:
    if device == "cpu":
        return "CPU"
    return f"Graphics card {device.partition(':')[2]}" if device.startswith("cuda") else device


def _dropped_folder(event: QDropEvent) -> Path | None:
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return paths[0] if len(paths) == 1 and paths[0].is_dir() else None
