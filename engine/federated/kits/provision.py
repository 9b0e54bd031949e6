"""Make a federation and its members with NVIDIA FLARE's own provisioning.

The private key of a site is made where it stays; only a request leaves, and a signed certificate
comes back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unicodedata import normalize

from engine.archive.federation import (
    Coordinator,
    FederationFolderError,
    Member,
    SiteSettings,
    now,
    read_coordinator,
    read_members,
    read_site,
    with_member,
    write_coordinator,
    write_members,
    write_site,
)
from engine.errors import IsletError
from engine.federated.kits.certificates import fingerprint_of_file, key_fingerprint_of

ADMIN = "coordinator@islet.example"
"""Name of the coordinator among FLARE's users."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*")
_LARGEST_ZIP = 1_000_000
_LONGEST_NAME = 40
_ROOT = "rootCA.pem"
_TAKES_S = 120


class FederatedExtraMissingError(IsletError):
    """NVIDIA FLARE is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Real federations need NVIDIA FLARE, which is not installed.",
            remedy="Type 'make setup-federated' once; simulations do not need it.",
        )


class UnusableNameError(IsletError):
    """A name that cannot be used in certificates and folders."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"'{name}' cannot be the name of a {what}.",
            remedy="Use letters and digits; a site or federation has small letters, digits,"
            " - and _, 40 at most.",
        )


class HostError(IsletError):
    """A host that no certificate can be made for."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"'{host}' is no host name.",
            remedy="Give the name under which the sites reach this computer, not its number.",
        )


class RequestError(IsletError):
    """A request that cannot be approved, or an approval that cannot be used."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What came of approving a request.

    Args:
        member: Who was let in.
        signed: The file to send back.
        authority: Fingerprint to read aloud to the hospital.
    """

    member: Member
    signed: Path
    authority: str


def begin_federation(
    folder: Path, *, name: str, host: str, port: int, organisation: str
) -> Coordinator:
    """Make the authority, the server's kit and the coordinator's, in `folder`.

    Args:
        folder: New or empty.
        name: Of the federation.
        host: Under which the sites reach the server.
        port: Of the server; the only one that must be open.
        organisation: The coordinator's; certificates hold its letters and digits.

    Raises:
        IsletError: If something of it cannot be used.
    """
    _check_name("federation", name)
    organisation = _in_certificates(organisation)
    if not _HOST.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
        raise HostError(host)
    _refuse_used(folder)
    # Whole or not at all: without its description nobody takes the folder for a federation.
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".federation-", dir=folder.parent))
    try:
        profile = {
            "name": name,
            "scheme": "grpc",
            "connection_security": "mtls",
            "server": {"host": host, "fed_learn_port": port},
        }
        _write_yaml(part / "profile.yml", profile)
        _flare(part, "cert", "init", "--profile", "profile.yml", "-o", "authority")
        authority = fingerprint_of_file(part / "authority" / _ROOT)
        people = (
            ("server", {"name": host, "type": "server", "org": organisation}),
            ("admin", {"name": ADMIN, "type": "admin", "org": organisation, "role": "lead"}),
        )
        for kit, participant in people:
            _write_yaml(part / f"{kit}.yml", {"name": name, "participants": [participant]})
            _flare(part, "cert", "request", "-p", f"{kit}.yml", "--out", f"request_{kit}")
            (asked,) = (part / f"request_{kit}").glob("*.request.zip")
            _approve(part, asked)
            (signed,) = (part / f"request_{kit}").glob("*.signed.zip")
            _package(part, signed, part / f"request_{kit}", authority, part / kit)
            shutil.rmtree(part / f"request_{kit}")
            (part / f"{kit}.yml").unlink()
        coordinator = Coordinator(name, host, port, authority, organisation, now())
        write_coordinator(part, coordinator)
        part.chmod(0o700)
        (part / "authority").chmod(0o700)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return coordinator


def request_membership(
    folder: Path, *, federation: str, name: str, organisation: str
) -> SiteSettings:
    """Make a site's private key and `request.zip`, which asks for a certificate.

    Args:
        folder: New or empty; the key stays in it.
        federation: Name of the federation, as its coordinator gave it.
        name: Of the site in the federation.
        organisation: Whose it is; certificates hold its letters and digits.

    Raises:
        IsletError: If something of it cannot be used.
    """
    _check_name("federation", federation)
    _check_name("site", name)
    organisation = _in_certificates(organisation)
    _refuse_used(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".site-", dir=folder.parent))
    try:
        participant = {"name": name, "type": "client", "org": organisation}
        _write_yaml(part / "asked.yml", {"name": federation, "participants": [participant]})
        _flare(part, "cert", "request", "-p", "asked.yml", "--out", "private")
        (part / "asked.yml").unlink()
        private = part / "private"
        private.chmod(0o700)
        (private / f"{name}.key").chmod(0o600)
        (private / f"{name}.request.zip").rename(part / "request.zip")
        fingerprint = key_fingerprint_of(private / f"{name}.key")
        site = SiteSettings(name, organisation, fingerprint, federation=federation)
        write_site(part, site)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return site


def read_request(request: Path) -> Mapping[str, Any]:
    """Return who asks in a request, and for what; "public_key_sha256" is to be compared by phone.

    Raises:
        RequestError: If it is no request of a site.
    """
    asked = _json_of(request, "request.json", ".csr")
    if asked.get("kind") != "site":
        raise RequestError(
            "This request is not that of a site.",
            remedy="Ask the hospital for the request.zip that 'islet federate request' made.",
        )
    return asked


def approve(folder: Path, request: Path, signed: Path, fingerprint: str = "") -> Approval:
    """Let a site into the federation of `folder`.

    Args:
        folder: The coordinator's.
        request: The hospital's request.zip.
        signed: Where the answer goes.
        fingerprint: Of the site's key as the hospital read it aloud; empty to leave it unchecked.

    Raises:
        IsletError: If the request cannot be approved.
    """
    coordinator = read_coordinator(folder)
    members = read_members(folder)
    asked = read_request(request)
    name, key = str(asked.get("name")), grouped(str(asked.get("public_key_sha256")))
    _check_name("site", name)
    if asked.get("project") != coordinator.name:
        raise RequestError(
            f"The request is for the federation '{asked.get('project')}', not for"
            f" '{coordinator.name}'.",
            remedy="Ask the hospital to make it again with the name of this federation.",
        )
    if fingerprint and not same_fingerprint(fingerprint, key):
        raise RequestError(
            "The key in the request is not the one that was read aloud.",
            remedy="Do not approve it. Ask the hospital how the file reached you, and compare"
            " again.",
        )
    known = {member.name: member for member in members}.get(name)
    if known is not None and known.fingerprint != key:
        raise RequestError(
            f"There already is a site called '{name}', with another key.",
            remedy="Ask the hospital to choose another name.",
        )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        # FLARE writes its answer beside the request, wherever that came from.
        copy = Path(place) / "site.request.zip"
        shutil.copyfile(request, copy)
        _approve(folder, copy)
        (made,) = Path(place).glob("*.signed.zip")
        said = _json_of(made, "signed.json", ".crt")
        signed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, signed)
    member = Member(
        name, str(asked.get("org")), key, now(), str(said["certificate"]["valid_until"])
    )
    write_members(folder, with_member(members, member))
    return Approval(member, signed, coordinator.authority)


def join(folder: Path, signed: Path, fingerprint: str) -> SiteSettings:
    """Make a site's kit of the coordinator's answer.

    Args:
        folder: The site's.
        signed: The coordinator's answer.
        fingerprint: Of the authority, as the coordinator read it aloud.

    Raises:
        IsletError: If the answer is not for this site, or not of that authority.
    """
    site = read_site(folder)
    said = _json_of(signed, "signed.json", ".crt")
    if said.get("name") != site.name or said.get("project") != site.federation:
        raise RequestError(
            f"The answer is for the site '{said.get('name')}' of '{said.get('project')}',"
            f" not for '{site.name}' of '{site.federation}'.",
            remedy="Ask the coordinator for the answer to this site's request.",
        )
    if not same_fingerprint(grouped(str(said["hashes"]["public_key_sha256"])), site.fingerprint):
        raise RequestError(
            "The answer is to another request of this site: its certificate is for another key.",
            remedy="Send request.zip of this folder to the coordinator, and use the answer to it.",
        )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place) / _ROOT
        with zipfile.ZipFile(signed) as archive:
            root.write_bytes(archive.read(_ROOT))
        authority = fingerprint_of_file(root)
        if not same_fingerprint(fingerprint, authority):
            raise RequestError(
                "The answer is not of the authority whose fingerprint was given.",
                remedy="Call the coordinator, and compare the fingerprint again; if it still"
                " differs, somebody may have changed the file.",
            )
        kit = Path(place) / "kit"
        _package(folder, signed, folder / "private", authority, kit)
        if (folder / "kit").exists():
            shutil.rmtree(folder / "kit")
        kit.rename(folder / "kit")
    server = said["server"]
    joined = replace(
        site, host=str(server["host"]), port=int(server["fed_learn_port"]), authority=authority
    )
    write_site(folder, joined)
    return joined


def grouped(digest: str) -> str:
    """Return a fingerprint as it is read aloud: pairs of capital digits with colons between."""
    plain = _plain(digest)
    return ":".join(plain[begin : begin + 2] for begin in range(0, len(plain), 2))


def same_fingerprint(one: str, other: str) -> bool:
    """Return whether two fingerprints are the same, however they are written."""
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _plain(digest: str) -> str:
    return re.sub(r"[^0-9A-F]", "", digest.upper().removeprefix("SHA256:"))


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnusableNameError(what, name)


def _in_certificates(organisation: str) -> str:
    """Return an organisation's name with the letters that FLARE lets certificates have."""
    plain = normalize("NFKD", organisation).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    if not name:
        raise UnusableNameError("organisation", organisation)
    return name[:_LONGEST_NAME]


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FederationFolderError(
            "The folder is not empty.", remedy="Name a new folder, or empty this one."
        )


def _json_of(path: Path, name: str, beside: str) -> Mapping[str, Any]:
    """Return a description inside a zip that holds nothing but small files of that kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            is_plain = all(re.fullmatch(r"[A-Za-z0-9@._-]+", each) for each in names)
            size = sum(info.file_size for info in archive.infolist())
            if not is_plain or size > _LARGEST_ZIP:
                raise _no_such_file()
            if name not in names or not any(each.endswith(beside) for each in names):
                raise _no_such_file()
            value = json.loads(archive.read(name))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _no_such_file() from error
    if not isinstance(value, dict):
        raise _no_such_file()
    return value


def _no_such_file() -> RequestError:
    return RequestError(
        "The file is damaged, or not of a federation.",
        remedy="Ask for it again, and check that nothing on the way changed it.",
    )


def _approve(folder: Path, request: Path) -> None:
    _flare(
        folder,
        *("cert", "approve", str(request), "--ca-dir", "authority", "--profile", "profile.yml"),
    )


def _package(folder: Path, signed: Path, private: Path, authority: str, kit: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        _flare(
            folder,
            *("package", str(signed.absolute()), "--request-dir", str(private.absolute())),
            *("--fingerprint", f"SHA256:{authority}", "-w", place),
        )
        (made,) = Path(place).glob("*/prod_*/*")
        made.rename(kit)
    for key in kit.glob("startup/*.key"):
        key.chmod(0o600)


def _flare(folder: Path, *words: str) -> None:
    """Run FLARE's tool, with what it would note in the user's home noted in `folder`.

    Raises:
        FederatedExtraMissingError: If it is not installed.
        RequestError: If it refuses.
    """
    require_flare()
    done = subprocess.run(
        [sys.executable, "-m", "nvflare.cli", *words],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=_TAKES_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise RequestError(
            f"The certificates could not be made: {_first_words(done.stderr or done.stdout)}",
            remedy="Check the file and the names, and try again.",
        )


def require_flare() -> None:
    """Refuse to go on where NVIDIA FLARE is not installed.

    Raises:
        FederatedExtraMissingError: If it is not.
    """
    if find_spec("nvflare") is None:
        raise FederatedExtraMissingError


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder.absolute() / "provisioning")}


def _first_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") + "." if lines else "FLARE gave no reason."


def _write_yaml(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    # JSON is YAML, too.
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
