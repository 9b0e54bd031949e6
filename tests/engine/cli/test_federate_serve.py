"""`islet federate start` looks at the site's data before it goes online."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.archive.federation import (
    FederationFolderError,
    SiteSettings,
    read_lines,
    read_site,
    write_site,
)
from engine.cli.federate_serve import AnnotationError, DataError, _annotation, _check_data
from engine.cli.main import main
from tests.engine.training.tiny import write_balls


def test_a_data_set_that_is_whole_is_taken(tmp_path: Path) -> None:
    _check_data(str(write_balls(tmp_path / "balls", 3)))


def test_a_folder_without_cases_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        _check_data(str(tmp_path))
    assert caught.value.message.endswith(".")
    assert caught.value.remedy.endswith(".")


def test_a_site_without_a_data_set_says_how_to_name_one() -> None:
    with pytest.raises(FederationFolderError) as caught:
        _check_data("")
    assert caught.value.message == "This site has no data set yet."
    assert "--data" in caught.value.remedy


def test_annotation_is_a_structure_and_a_state() -> None:
    assert _annotation(["lesion=unlabelled", "pancreas=annotated"]) == {
        "lesion": "unlabelled",
        "pancreas": "annotated",
    }
    for words in ("lesion", "lesion=maybe", "heart=absent"):
        with pytest.raises(AnnotationError) as caught:
            _annotation([words])
        assert caught.value.message == f"'{words}' does not say what was annotated."


def test_what_is_asked_at_a_start_is_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_site(tmp_path, SiteSettings("north", "x", "AA", federation="trial"))
    words = ("--data", str(tmp_path / "data"), "--share-at-most", "0.25", "--device", "cpu")
    code = main(["federate", "start", str(tmp_path), *words, "--annotation", "lesion=absent"])
    assert code == 2
    assert "has not joined its federation yet" in capsys.readouterr().err
    site = read_site(tmp_path)
    assert (site.share_at_most, site.device) == (0.25, "cpu")
    assert site.annotation == {"lesion": "absent"}
    # Nothing was begun.
    assert read_lines(tmp_path / "events.jsonl") == ()


def test_status_and_stop_of_other_folders_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("status", "stop"):
        assert main(["federate", verb, str(tmp_path)]) == 2
        assert "This is no folder of a federation." in capsys.readouterr().err


def test_a_site_that_is_off_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_site(tmp_path, SiteSettings("north", "x", "AA", federation="trial"))
    assert main(["federate", "status", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "north: stopped\n"
    assert main(["federate", "stop", str(tmp_path)]) == 0
    assert "Nothing was running there." in capsys.readouterr().err
