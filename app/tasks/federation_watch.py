"""Follow the folders of federations that the window knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from app.tasks.federation_story import FederationStory, FolderReader

_LOOK_EVERY_MS = 1000


class FederationWatch(QObject):
    """Looks once a second what the folders tell, while somebody looks at it.

    Args:
        folders: Known from earlier.
        parent: Qt's owner.
    """

    changed = Signal(tuple)  # of FederationStory

    def __init__(self, folders: Iterable[Path], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._readers = {folder: FolderReader(folder) for folder in folders}
        self._stories: tuple[FederationStory, ...] = ()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        self._timer.timeout.connect(self.look)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are followed."""
        return tuple(self._readers)

    def start(self) -> None:
        """Follow from now on."""
        self.look()
        self._timer.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._timer.stop()

    def add(self, folder: Path) -> None:
        """Follow one more folder, as the newest."""
        self._readers[folder] = FolderReader(folder)
        self.look()

    def remove(self, folder: Path) -> None:
        """Follow a folder no longer; it stays where it is."""
        self._readers.pop(folder, None)
        self.look()

    def look(self) -> None:
        """Read every folder now."""
        stories = tuple(reader.read() for reader in self._readers.values())
        if stories != self._stories:
            self._stories = stories
            self.changed.emit(stories)
