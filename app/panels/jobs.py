"""What is being worked on: stage, share done, time left, and how to stop it."""

from __future__ import annotations

from types import MappingProxyType

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QProgressBar, QWidget

from app.panels import parts

# The engine's stages as a reader would call them; other stages bring words of their own.
_STAGE_TEXT = MappingProxyType(
    {
        "load": "Loading the system",
        "localise": "Looking for the pancreas",
        "prepare": "Preparing the region",
        "infer": "Outlining",
        "restore": "Fitting to the scan",
        "measure": "Measuring",
        "classify": "Telling the subtype",
    }
)


class JobsBar(QWidget):
    """The one job at the foot of the window; hidden while there is none."""

    cancel_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._title = parts.figure("")
        self._stage = QLabel()
        self._stage.setProperty("role", "quiet")
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._progress.setFixedWidth(180)
        self._percent = QLabel()
        self._percent.setFixedWidth(38)
        self._remaining = QLabel()
        self._remaining.setProperty("role", "quiet")
        self.cancel_button = parts.icon_button("close", "Cancel (Esc)", name="cancel")
        self.cancel_button.clicked.connect(lambda *_: self.cancel_requested.emit())
        self.setLayout(
            parts.row(
                self._title, self._stage, self._progress, self._percent, self._remaining,
                self.cancel_button,
            )
        )  # fmt: skip
        self.end()

    @property
    def is_busy(self) -> bool:
        """Whether a job is shown."""
        return not self.isHidden()

    @property
    def text(self) -> str:
        """What the bar says, for those who cannot see it."""
        labels = (self._title, self._stage, self._percent, self._remaining)
        return " ".join(label.text() for label in labels if label.text())

    def begin(self, title: str, *, can_cancel: bool = True) -> None:
        """Show that a job has begun."""
        self._title.setText(title)
        self._stage.setText("")
        self._percent.setText("")
        self._remaining.setText("")
        self._progress.setRange(0, 0)
        self.cancel_button.setVisible(can_cancel)
        self.show()

    def show_progress(self, stage: str, fraction: float, remaining_s: float | None = None) -> None:
        """Show how far the stage is.

        Args:
            stage: What is being done.
            fraction: Of this stage, 0 to 1.
            remaining_s: Of the whole job, in seconds; None where it is not known.
        """
        self._stage.setText(_STAGE_TEXT.get(stage, stage))
        # A stage that has told nothing but its name is busy, not at zero.
        self._progress.setRange(0, 100 if fraction > 0 else 0)
        self._progress.setValue(round(fraction * 100))
        self._percent.setText(f"{fraction:.0%}".replace("%", " %") if fraction > 0 else "")
        self._remaining.setText(remaining_text(remaining_s))

    def end(self) -> None:
        """Show that there is no job any more."""
        self.hide()


def remaining_text(remaining_s: float | None) -> str:
    """Return the time left as a person would say it; empty where it is not known."""
    if remaining_s is None:
        return ""
    if remaining_s < 5:
        return "a few seconds left"
    if remaining_s < 90:
        return f"about {5 * round(remaining_s / 5)} s left"
    return f"about {round(remaining_s / 60)} min left"
