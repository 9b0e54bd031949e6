"""What the program remembers from one start to the next."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QSettings

MAX_RECENTS = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices and habits of the person at this computer.

    Args:
        recents: Folders and files opened last, newest first; shown in the menu, never logged.
        system: Name of the system chosen last; empty before the first choice.
        research_use_accepted: Whether the first-run notice was accepted.
        window_geometry: Qt's own record of the window's place and size; empty at first.
        federations: Folders of federations that the window follows; never logged.
    """

    recents: tuple[Path, ...] = ()
    system: str = ""
    research_use_accepted: bool = False
    window_geometry: bytes = b""
    federations: tuple[Path, ...] = ()

    def with_recent(self, path: Path) -> Settings:
        """Return the settings with `path` at the head of the recents."""
        others = tuple(old for old in self.recents if old != path)
        return replace(self, recents=(path, *others)[:MAX_RECENTS])


class SettingsStore:
    """Reads and writes the settings of this computer's user.

    Args:
        store: Where Qt keeps them; None takes the user's own.
    """

    def __init__(self, store: QSettings | None = None) -> None:
        self._store = store if store is not None else QSettings("Islet", "Islet")
        self.settings = self._load()

    def update(self, settings: Settings) -> None:
        """Take over `settings`, and write them at once so that a crash loses nothing."""
        self.settings = settings
        self._store.setValue("recents", json.dumps([str(path) for path in settings.recents]))
        federations = json.dumps([str(path) for path in settings.federations])
        self._store.setValue("federations", federations)
        self._store.setValue("system", settings.system)
        self._store.setValue("research_use_accepted", int(settings.research_use_accepted))
        self._store.setValue("window_geometry", settings.window_geometry.hex())
        self._store.sync()

    def _load(self) -> Settings:
        return Settings(
            recents=_paths(self._text("recents")),
            system=self._text("system"),
            research_use_accepted=self._text("research_use_accepted") == "1",
            window_geometry=_bytes(self._text("window_geometry")),
            federations=_paths(self._text("federations")),
        )

    def _text(self, key: str) -> str:
        return str(self._store.value(key, ""))


def _paths(text: str) -> tuple[Path, ...]:
    try:
        values = json.loads(text or "[]")
    except json.JSONDecodeError:
        # A settings file edited by hand must not keep the program from starting.
        return ()
    return tuple(Path(value) for value in values if isinstance(value, str))


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
