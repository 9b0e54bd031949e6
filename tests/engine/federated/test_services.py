"""What is looked at before a server or a site is started, and what is told of it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.archive.federation import (
    FederationFolderError,
    Member,
    SiteSettings,
    read_lines,
    read_members,
    write_members,
    write_site,
)
from engine.federated import services
from engine.federated.kits.faults import MissingFileError, PortTakenError, UnreachableError
from engine.federated.kits.membership import approve, join, request_membership
from engine.federated.kits.provision import begin_federation
from engine.federated.revoke import NotHeardError, revoke
from engine.federated.services import checks, serve, take_part, write_revoked
from engine.federated.supervise import NoServerError

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

_NORTH = Member("north", "x", "AA", "2026-01-01", "2029-01-01")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("federation")
    with socket.create_server(("localhost", 0)) as probe:
        port = probe.getsockname()[1]
    begun = begin_federation(
        root / "coordinator", name="trial", host="localhost", port=port, organisation="x"
    )
    request_membership(root / "site", federation="trial", name="north", organisation="x")
    approve(root / "coordinator", root / "site" / "request.zip", root / "answer.zip")
    join(root / "site", root / "answer.zip", begun.authority)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "federation"))


def _last_state(folder: Path) -> Mapping[str, Any]:
    return [each for each in read_lines(folder / "events.jsonl") if each["event"] == "state"][-1]


def test_everything_that_is_checked_has_a_name(root: Path) -> None:
    found = checks(root / "coordinator")
    assert [each.what for each in found][-3:] == ["key", "name of the server", "port of the server"]
    assert [each.error for each in found] == [None] * 8
    *before, port, identity = checks(root / "site")
    assert [each.error for each in before] == [None] * 7
    assert isinstance(port.error, UnreachableError)
    assert not identity.was_made


def test_a_site_that_has_not_joined_says_so(tmp_path: Path) -> None:
    write_site(tmp_path, SiteSettings("north", "x", "AA", federation="trial"))
    with pytest.raises(FederationFolderError, match="has not joined") as caught:
        take_part(tmp_path)
    assert "islet federate join" in caught.value.remedy


def test_a_port_in_use_is_said_before_a_start(root: Path) -> None:
    coordinator = root / "coordinator"
    port = json.loads((coordinator / "federation.json").read_text())["port"]
    with socket.create_server(("localhost", port)), pytest.raises(PortTakenError):
        serve(coordinator)
    said = _last_state(coordinator)
    assert (said["state"], said["message"]) == (
        "failed",
        f"Port {port} of this computer is in use already.",
    )


def test_a_server_that_is_off_is_said_before_a_start(root: Path) -> None:
    with pytest.raises(UnreachableError):
        take_part(root / "site")
    assert _last_state(root / "site")["state"] == "failed"


def test_a_damaged_configuration_is_a_sentence(root: Path) -> None:
    path = root / "coordinator" / "server" / "local" / "resources.json.default"
    path.write_text("{")
    with pytest.raises(MissingFileError, match="The configuration of this kit is missing"):
        serve(root / "coordinator")


def test_a_server_learns_at_its_start_who_was_revoked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = root / "coordinator"
    write_members(coordinator, (*read_members(coordinator), replace(_NORTH, name="south")))
    assert revoke(coordinator, "north") is False
    monkeypatch.setattr(services, "follow", lambda *_: None)
    serve(coordinator)
    said = json.loads((coordinator / "server" / "disabled_clients.json").read_text())
    assert said == {"disabled_clients": ["north"]}


def test_a_kit_made_ready_loads_nothing_but_islet_and_sends_no_logs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "follow", lambda *_: None)
    coordinator = root / "coordinator"
    serve(coordinator)
    said = json.loads((coordinator / "server" / "local" / "resources.json").read_text())
    assert said["class_allow_list"] == ["engine.federated.flare.controller.RoundsController"]
    may = json.loads((coordinator / "server" / "local" / "authorization.json").read_text())
    assert list(may["permissions"]) == ["lead"]
    assert (may["permissions"]["lead"]["byoc"], may["permissions"]["lead"]["shell_commands"]) == (
        "none",
        "none",
    )
    assert said["allow_log_streaming"] is False
    text = json.dumps(said)
    assert "/tmp/nvflare" not in text
    assert "log_receiver" not in text
    assert str(coordinator / "store" / "jobs") in text


def test_a_site_that_is_not_there_cannot_be_revoked(root: Path) -> None:
    with pytest.raises(FederationFolderError) as caught:
        revoke(root / "coordinator", "west")
    assert caught.value.message == "There is no site called 'west' in this federation."


def test_a_running_server_that_does_not_hear_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = root / "coordinator"
    monkeypatch.setattr("engine.federated.revoke.runs", lambda _: True)

    def login(_: Path) -> None:
        raise NoServerError

    with pytest.raises(NotHeardError) as caught:
        revoke(coordinator, "north", login)
    assert caught.value.message == ("north is revoked, but the running server did not hear of it.")
    assert "start it again" in caught.value.remedy
    # It is on the disk all the same.
    assert read_members(coordinator)[0].revoked
    write_revoked(coordinator)
    assert "north" in (coordinator / "server" / "disabled_clients.json").read_text()
