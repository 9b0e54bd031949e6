"""How a site gets into a federation, and what does not."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.archive.federation import (
    FederationFolderError,
    Member,
    claim,
    read_members,
    read_site,
    revoked,
    with_member,
    write_members,
)
from engine.federated.kits.flare_tool import RequestError
from engine.federated.kits.membership import approve, join, request_membership
from engine.federated.kits.names import UnusableNameError
from engine.federated.kits.provision import begin_federation

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")


@dataclass(frozen=True, slots=True)
class Made:
    """A coordinator's folder and a site's, made once: keys take their time."""

    coordinator: Path
    site: Path
    authority: str

    @property
    def request(self) -> Path:
        """What the site sends."""
        return self.site / "request.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("Föderation der Häuser")
    coordinator = begin_federation(
        root / "coordinator", name="trial", host="localhost", port=8002, organisation="Uni Köln"
    )
    request_membership(
        root / "haus nord", federation="trial", name="north", organisation="Haus Nord"
    )
    return Made(root / "coordinator", root / "haus nord", coordinator.authority)


@pytest.fixture
def trial(made: Made, tmp_path: Path) -> Made:
    """Copies, for a test to change."""
    shutil.copytree(made.coordinator, tmp_path / "coordinator")
    shutil.copytree(made.site, tmp_path / "site")
    return replace(made, coordinator=tmp_path / "coordinator", site=tmp_path / "site")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_keys_are_for_their_owner_alone(made: Made) -> None:
    keys = [*made.coordinator.rglob("*.key"), *made.site.rglob("*.key")]
    assert {path.name for path in keys} == {"rootCA.key", "server.key", "client.key", "north.key"}
    assert all(_mode(path) == 0o600 for path in keys)
    closed = (made.coordinator, made.coordinator / "authority", made.site, made.site / "private")
    assert all(_mode(path) == 0o700 for path in closed)


def test_a_request_holds_no_key(made: Made) -> None:
    with zipfile.ZipFile(made.request) as archive:
        assert sorted(archive.namelist()) == ["north.csr", "request.json", "site.yaml"]
        assert all(b"PRIVATE" not in archive.read(name) for name in archive.namelist())


def test_a_site_joins_with_the_answer(trial: Made, tmp_path: Path) -> None:
    site = read_site(trial.site)
    approval = approve(trial.coordinator, trial.request, tmp_path / "a.zip", site.fingerprint)
    assert approval.member.fingerprint == site.fingerprint
    assert [each.name for each in read_members(trial.coordinator)] == ["north"]

    joined = join(trial.site, tmp_path / "a.zip", trial.authority.lower().replace(":", " "))
    assert (joined.host, joined.port, joined.authority) == ("localhost", 8002, trial.authority)
    key = trial.site / "kit" / "startup" / "client.key"
    assert key.read_bytes() == (trial.site / "private" / "north.key").read_bytes()
    assert _mode(key) == 0o600
    # Once more, as when a certificate is renewed.
    approve(trial.coordinator, trial.request, tmp_path / "b.zip")
    join(trial.site, tmp_path / "b.zip", trial.authority)
    assert len(read_members(trial.coordinator)) == 1


def test_folders_may_be_named_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    begun = begin_federation(
        Path("coordinator"), name="trial", host="localhost", port=8002, organisation="x"
    )
    request_membership(Path("site"), federation="trial", name="north", organisation="x")
    approve(Path("coordinator"), Path("site/request.zip"), Path("answer.zip"))
    join(Path("site"), Path("answer.zip"), begun.authority)
    # FLARE would note what it did in the user's home.
    assert list((tmp_path / "home").iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FederationFolderError, match=r"The folder is not empty\."):
        request_membership(tmp_path, federation="trial", name="north", organisation="x")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnusableNameError):
        request_membership(tmp_path / "x", federation="trial", name="../x", organisation="x")
    assert list(tmp_path.iterdir()) == []


def _refusal(work: Callable[[], object]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        work()
    return caught.value


def test_a_key_that_was_not_read_aloud_is_not_approved(trial: Made, tmp_path: Path) -> None:
    error = _refusal(lambda: approve(trial.coordinator, trial.request, tmp_path / "a", "AB:CD"))
    assert error.message == "The key in the request is not the one that was read aloud."
    assert error.remedy.startswith("Do not approve it.")
    assert read_members(trial.coordinator) == ()
    assert not (tmp_path / "a").exists()


def test_no_site_has_the_name_of_the_server(tmp_path: Path, trial: Made) -> None:
    """Its certificate could be shown to other sites as the server's."""
    request_membership(tmp_path / "s", federation="trial", name="localhost", organisation="x")
    with pytest.raises(UnusableNameError, match="'localhost' cannot be the name of a site"):
        approve(trial.coordinator, tmp_path / "s" / "request.zip", tmp_path / "a")
    assert read_members(trial.coordinator) == ()


def test_a_name_that_another_key_has_is_not_given_again(trial: Made, tmp_path: Path) -> None:
    other = Member("north", "x", "AA:BB", "2026-01-01", "2029-01-01")
    write_members(trial.coordinator, (other,))
    error = _refusal(lambda: approve(trial.coordinator, trial.request, tmp_path / "a"))
    assert error.message == "There already is a site called 'north', with another key."
    assert read_members(trial.coordinator) == (other,)


def test_a_key_that_was_revoked_does_not_come_back(trial: Made, tmp_path: Path) -> None:
    member = approve(trial.coordinator, trial.request, tmp_path / "a").member
    members = read_members(trial.coordinator)
    write_members(trial.coordinator, with_member(members, revoked(member)))
    error = _refusal(lambda: approve(trial.coordinator, trial.request, tmp_path / "b"))
    assert error.message == "The key in the request is that of 'north', which was revoked."
    assert "under another name" in error.remedy
    assert read_members(trial.coordinator)[0].revoked


def test_a_request_to_another_federation_names_both(tmp_path: Path, trial: Made) -> None:
    request_membership(tmp_path / "s", federation="other", name="north", organisation="x")
    error = _refusal(lambda: approve(trial.coordinator, tmp_path / "s/request.zip", tmp_path / "a"))
    assert error.message == "The request is for the federation 'other', not for 'trial'."


def _changed(
    path: Path, place: Path, change: Mapping[str, bytes], rename: Mapping[str, str] | None = None
) -> Path:
    """Write a zip at `place` that differs from the one at `path`."""
    names = rename or {}
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(place, "w") as written:
        found = {name: archive.read(name) for name in archive.namelist()} | change
        for name, content in found.items():
            written.writestr(names.get(name, name), content)
    return place


@pytest.mark.parametrize(
    "surprise", ["../../out.txt", "/out.txt", "sub/out.txt", ".hidden", "..", "a\\b"]
)
def test_a_zip_with_odd_names_is_not_opened(trial: Made, tmp_path: Path, surprise: str) -> None:
    evil = _changed(trial.request, tmp_path / "evil.zip", {surprise: b"x"})
    error = _refusal(lambda: approve(trial.coordinator, evil, tmp_path / "a"))
    assert error.message == "The file is damaged, or not of a federation."
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize(
    "content", [b"", b"no zip at all", b"PK\x05\x06" + bytes(18), b"x" * 1_000_001]
)
def test_other_files_are_no_requests(trial: Made, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    error = _refusal(lambda: approve(trial.coordinator, tmp_path / "x.zip", tmp_path / "a"))
    assert error.message == "The file is damaged, or not of a federation."


def test_a_file_that_is_not_there_is_said(trial: Made, tmp_path: Path) -> None:
    error = _refusal(lambda: approve(trial.coordinator, tmp_path / "no.zip", tmp_path / "a"))
    assert error.message == "There is no such file."


def test_a_zip_that_unpacks_to_a_lot_is_not_unpacked(trial: Made, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("request.json", b" " * 200_000_000)
        written.writestr("north.csr", b"x")
    assert bomb.stat().st_size < 1_000_000
    error = _refusal(lambda: approve(trial.coordinator, bomb, tmp_path / "a"))
    assert error.message == "The file is damaged, or not of a federation."


def _request_json(request: Path) -> dict[str, object]:
    with zipfile.ZipFile(request) as archive:
        return json.loads(archive.read("request.json"))


@pytest.mark.parametrize(
    "change",
    [
        {"public_key_sha256": "00" * 32},
        {"org": "somebody_else"},
        {"cert_type": "lead"},
        {"name": "south"},
        {"csr_sha256": "00" * 32},
    ],
)
def test_a_request_that_contradicts_itself_is_not_approved(
    trial: Made, tmp_path: Path, change: dict[str, str]
) -> None:
    said = json.dumps(_request_json(trial.request) | change).encode()
    evil = _changed(trial.request, tmp_path / "evil.zip", {"request.json": said})
    error = _refusal(lambda: approve(trial.coordinator, evil, tmp_path / "a"))
    assert error.message.startswith("The certificates could not be made: ")
    assert read_members(trial.coordinator) == ()
    assert not (tmp_path / "a").exists()


def test_nobody_becomes_coordinator_by_a_request(trial: Made, tmp_path: Path) -> None:
    said = json.dumps(_request_json(trial.request) | {"kind": "user"}).encode()
    evil = _changed(trial.request, tmp_path / "evil.zip", {"request.json": said})
    error = _refusal(lambda: approve(trial.coordinator, evil, tmp_path / "a"))
    assert error.message == "This request is not that of a site."


@pytest.fixture(scope="module")
def answer(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("answer")
    shutil.copytree(made.coordinator, place / "coordinator")
    return approve(place / "coordinator", made.request, place / "answer.zip").signed


def test_an_authority_that_was_not_read_aloud_is_not_joined(trial: Made, answer: Path) -> None:
    error = _refusal(lambda: join(trial.site, answer, "AB:CD"))
    assert error.message == "The answer is not of the authority whose fingerprint was given."
    assert error.remedy.startswith("Call the coordinator")
    assert not (trial.site / "kit").exists()
    assert read_site(trial.site).authority == ""


def test_an_answer_that_was_changed_on_the_way_is_not_joined(
    trial: Made, answer: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(answer) as archive:
        said = json.loads(archive.read("signed.json"))
    said["server"]["host"] = "evil.example"
    evil = _changed(answer, tmp_path / "evil.zip", {"signed.json": json.dumps(said).encode()})
    error = _refusal(lambda: join(trial.site, evil, trial.authority))
    assert error.message.startswith("The certificates could not be made: ")
    assert not (trial.site / "kit").exists()


def test_an_answer_to_another_site_is_not_joined(answer: Path, tmp_path: Path) -> None:
    request_membership(tmp_path / "s", federation="trial", name="south", organisation="x")
    error = _refusal(lambda: join(tmp_path / "s", answer, "AB:CD"))
    assert error.message == (
        "The answer is for the site 'north' of 'trial', not for 'south' of 'trial'."
    )


def test_an_answer_to_an_older_request_is_not_joined(
    answer: Path, tmp_path: Path, made: Made
) -> None:
    request_membership(tmp_path / "s", federation="trial", name="north", organisation="x")
    error = _refusal(lambda: join(tmp_path / "s", answer, made.authority))
    assert "its certificate is for another key" in error.message
    assert error.remedy.startswith("Send request.zip of this folder")


def test_answers_that_lack_something_are_no_answers(
    trial: Made, answer: Path, tmp_path: Path
) -> None:
    for name in ("signed.json", "north.crt", "rootCA.pem"):
        evil = _changed(answer, tmp_path / f"{name}.zip", {}, {name: "other.txt"})
        error = _refusal(lambda file=evil: join(trial.site, file, trial.authority))
        assert error.message == "The file is damaged, or not of a federation."


def test_a_site_that_takes_part_is_not_joined_under_its_feet(trial: Made, answer: Path) -> None:
    claim(trial.site)
    with pytest.raises(FederationFolderError, match="takes part at the moment") as caught:
        join(trial.site, answer, trial.authority)
    assert "islet federate stop" in caught.value.remedy
