"""The folders of a federation, as others read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.archive.federation import (
    Coordinator,
    FederationFolderError,
    Member,
    SiteSettings,
    claim,
    process_of,
    read_coordinator,
    read_members,
    read_site,
    revoked,
    runs,
    tell,
    with_member,
    write_coordinator,
    write_members,
    write_site,
)
from engine.archive.federation_status import connected_sites, status_of

_NORTH = Member("north", "x", "AA", "2026-01-01", "2029-01-01")
_TRIAL = Coordinator("trial", "localhost", 8002, "AA:BB", "x", "2026-01-01")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    site = SiteSettings("north", "Häuser", "AA", annotation={"lesion": "absent"}, data="/a b")
    write_site(tmp_path, site)
    write_coordinator(tmp_path, _TRIAL)
    write_members(tmp_path, (_NORTH,))
    assert read_site(tmp_path) == site
    assert read_coordinator(tmp_path) == _TRIAL
    assert read_members(tmp_path) == (_NORTH,)


def test_a_member_keeps_its_place(tmp_path: Path) -> None:
    south = Member("south", "x", "BB", "2026-01-01", "2029-01-01")
    members = with_member((_NORTH, south), revoked(_NORTH))
    assert [each.name for each in members] == ["north", "south"]
    assert members[0].revoked
    assert not members[1].revoked


def test_other_folders_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FederationFolderError) as caught:
        read_coordinator(tmp_path)
    assert caught.value.message == "This is not the folder of a federation's coordinator."
    assert "islet federate init" in caught.value.remedy
    with pytest.raises(FederationFolderError) as caught:
        read_site(tmp_path)
    assert "islet federate request" in caught.value.remedy
    for text in ("{", "[]", '{"format": "islet-site-9"}', "{}", '{"format": "islet-site-1"}'):
        (tmp_path / "site.json").write_text(text)
        with pytest.raises(FederationFolderError) as caught:
            read_site(tmp_path)
        assert caught.value.message == "The description of the site in this folder is damaged."
    (tmp_path / "sites.json").write_text('{"sites": [{}]}')
    with pytest.raises(FederationFolderError, match="The list of sites"):
        read_members(tmp_path)


def test_a_folder_is_claimed_by_one_process(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(
        json.dumps({"pid": 1 << 30, "pid_started": 1.0, "group": 7, "group_started": 1.0})
    )
    assert not runs(tmp_path)
    claim(tmp_path)
    claim(tmp_path)
    assert runs(tmp_path)
    # So that what it left running can be ended.
    assert process_of(tmp_path)["group"] == 7


def test_nobody_is_connected_to_a_server_that_is_off(tmp_path: Path) -> None:
    tell(tmp_path, "state", state="online", message="", remedy="")
    tell(tmp_path, "connected", site="north")
    tell(tmp_path, "connected", site="south")
    tell(tmp_path, "disconnected", site="south")
    assert connected_sites(tmp_path) == frozenset()
    claim(tmp_path)
    assert connected_sites(tmp_path) == {"north"}
    tell(tmp_path, "state", state="online", message="", remedy="")
    assert connected_sites(tmp_path) == frozenset()


def test_the_status_of_a_coordinator_names_its_sites_and_runs(tmp_path: Path) -> None:
    write_coordinator(tmp_path, _TRIAL)
    write_members(tmp_path, (_NORTH, revoked(Member("south", "x", "BB", "", ""))))
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "order.json").write_text("{}")
    (run / "run.json").write_text('{"state": "running"}')
    (run / "rounds.jsonl").write_text('{"round": 1}\n{"rou')
    found = status_of(tmp_path)
    assert (found["kind"], found["state"], found["is_running"]) == ("coordinator", "stopped", False)
    assert [(each["name"], each["is_revoked"]) for each in found["sites"]] == [
        ("north", False),
        ("south", True),
    ]
    (only,) = found["runs"]
    assert (only["state"], only["rounds_done"], only["last_round"]) == (
        "interrupted",
        1,
        {"round": 1},
    )


def test_the_status_of_a_site_is_what_it_said_last(tmp_path: Path) -> None:
    write_site(tmp_path, SiteSettings("north", "x", "AA", federation="trial", authority="AA"))
    assert status_of(tmp_path)["state"] == "stopped"
    claim(tmp_path)
    tell(tmp_path, "server", name="localhost", organisation="x", fingerprint="AA", expires="")
    tell(tmp_path, "trained", run="first", round=2, loss=0.5, seconds=1.0)
    tell(tmp_path, "state", state="offline", message="Gone.", remedy="Wait.")
    found = status_of(tmp_path)
    assert (found["state"], found["message"], found["remedy"]) == ("offline", "Gone.", "Wait.")
    assert found["server"]["name"] == "localhost"
    assert found["last"]["trained"]["round"] == 2


def test_a_site_that_was_killed_is_stopped_and_one_that_failed_says_why(tmp_path: Path) -> None:
    write_site(tmp_path, SiteSettings("north", "x", "AA"))
    tell(tmp_path, "state", state="online", message="", remedy="")
    assert status_of(tmp_path)["state"] == "stopped"
    tell(tmp_path, "state", state="failed", message="Why.", remedy="What.")
    found = status_of(tmp_path)
    assert (found["state"], found["message"]) == ("failed", "Why.")


def test_no_folder_of_a_federation_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(FederationFolderError, match="no folder of a federation"):
        status_of(tmp_path)
