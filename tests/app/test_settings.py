from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings

from app.settings import MAX_RECENTS, Settings, SettingsStore


def _ini(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "islet.ini"), QSettings.Format.IniFormat)


def test_settings_return_as_they_were_written(tmp_path: Path) -> None:
    settings = Settings(
        recents=(Path("/data/Jürgen Müller/series 1"), Path("/b")),
        system="starter",
        research_use_accepted=True,
        window_geometry=b"\x00\xff",
    )
    SettingsStore(_ini(tmp_path)).update(settings)
    assert SettingsStore(_ini(tmp_path)).settings == settings


def test_a_first_start_has_default_settings(tmp_path: Path) -> None:
    assert SettingsStore(_ini(tmp_path)).settings == Settings()


def test_a_damaged_settings_file_does_not_keep_the_program_from_starting(tmp_path: Path) -> None:
    store = _ini(tmp_path)
    store.setValue("recents", "[not json")
    store.setValue("window_geometry", "not hex")
    assert SettingsStore(store).settings == Settings()


def test_recents_are_newest_first_without_repeats() -> None:
    settings = Settings(recents=(Path("/a"), Path("/b"))).with_recent(Path("/b"))
    assert settings.recents == (Path("/b"), Path("/a"))


def test_only_the_last_few_recents_are_kept() -> None:
    settings = Settings()
    for number in range(MAX_RECENTS + 3):
        settings = settings.with_recent(Path(f"/{number}"))
    assert len(settings.recents) == MAX_RECENTS
    assert settings.recents[0] == Path(f"/{MAX_RECENTS + 2}")
