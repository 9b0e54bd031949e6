"""Let a site into a federation: a request goes out, a signed answer comes back.

The private key is made where it stays; two fingerprints are compared by phone, the site's key by
the coordinator and the authority's certificate by the site.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    FederationFolderError,
    Member,
    SiteSettings,
    now,
    read_coordinator,
    read_members,
    read_site,
    runs,
    with_member,
    write_members,
    write_site,
)
from engine.archive.federation_extra import require_flare
from engine.federated.kits.certificates import (
    Kit,
    check_kit,
    fingerprint_of_file,
    key_fingerprint_of,
)
from engine.federated.kits.flare_tool import (
    SITE_DAYS,
    RequestError,
    make_request,
    package,
    sign,
)
from engine.federated.kits.names import (
    HostError,
    UnusableNameError,
    check_host,
    check_name,
    grouped,
    in_certificates,
    same_fingerprint,
)
from engine.federated.kits.provision import ROOT, new_folder, write_yaml

_LARGEST_ZIP = 1_000_000
_MOST_FILES = 8
_PLAIN = re.compile(r"[A-Za-z0-9@_-][A-Za-z0-9@._-]*")
# The last two: encrypted entries, and ways of compressing that Python does not know.
_BAD_ZIP = (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)


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
    check_name("federation", federation)
    check_name("site", name)
    organisation = in_certificates(organisation)
    require_flare()
    with new_folder(folder) as part:
        participant = {"name": name, "type": "client", "org": organisation}
        asked = part / "asked.yml"
        write_yaml(asked, {"name": federation, "participants": [participant]})
        make_request(part, asked, "private")
        asked.unlink()
        private = part / "private"
        private.chmod(0o700)
        (private / f"{name}.key").chmod(0o600)
        (private / f"{name}.request.zip").rename(part / "request.zip")
        fingerprint = key_fingerprint_of(private / f"{name}.key")
        site = SiteSettings(name, organisation, fingerprint, federation=federation)
        write_site(part, site)
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
    require_flare()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        # FLARE writes its answer beside the request; and what was looked at is what is signed.
        copy = Path(place) / "site.request.zip"
        _copy(request, copy)
        asked = read_request(copy)
        name, key = str(asked.get("name")), grouped(str(asked.get("public_key_sha256")))
        check_name("site", name)
        if name == coordinator.host.lower():
            # FLARE's certificates of sites may be used for servers, too.
            raise UnusableNameError("site", name)
        if asked.get("project") != coordinator.name:
            raise RequestError(
                f"The request is for the federation '{asked.get('project')}', not for"
                f" '{coordinator.name}'.",
                remedy="Ask the hospital to make it again with the name of this federation.",
            )
        _refuse_other_key(key, fingerprint)
        _refuse_known(members, name, key)
        # It holds the request against itself: key, name and role in all of its files.
        sign(folder, copy, SITE_DAYS)
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
    require_flare()
    if runs(folder):
        raise FederationFolderError(
            "This site takes part at the moment.",
            remedy="End it with 'islet federate stop', and join again.",
        )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        copy = Path(place) / "site.signed.zip"
        _copy(signed, copy)
        said = _json_of(copy, "signed.json", ".crt")
        _refuse_answer_to_others(said, site)
        authority = _authority_in(copy, Path(place) / ROOT)
        if not same_fingerprint(fingerprint, authority):
            raise RequestError(
                "The answer is not of the authority whose fingerprint was given.",
                remedy="Call the coordinator, and compare the fingerprint again; if it still"
                " differs, somebody may have changed the file.",
            )
        kit = Path(place) / "kit"
        package(folder, copy, folder / "private", authority, kit)
        host, port = _server_in(said)
        for check in check_kit(Kit(kit / "startup", site.name, "client", host, port)):
            if check.error is not None:
                raise check.error
        if (folder / "kit").exists():
            shutil.rmtree(folder / "kit")
        kit.rename(folder / "kit")
    joined = replace(site, host=host, port=port, authority=authority)
    write_site(folder, joined)
    return joined


def _refuse_other_key(key: str, fingerprint: str) -> None:
    if fingerprint and not same_fingerprint(fingerprint, key):
        raise RequestError(
            "The key in the request is not the one that was read aloud.",
            remedy="Do not approve it. Ask the hospital how the file reached you, and compare"
            " again.",
        )


def _refuse_known(members: tuple[Member, ...], name: str, key: str) -> None:
    """Refuse whoever takes another's name, or was sent away."""
    known = {member.name: member for member in members}.get(name)
    sent_away = {member.fingerprint: member for member in members if member.revoked}
    if known is not None and known.fingerprint != key:
        raise RequestError(
            f"There already is a site called '{name}', with another key.",
            remedy="Ask the hospital to choose another name.",
        )
    if key in sent_away:
        raise RequestError(
            f"The key in the request is that of '{sent_away[key].name}', which was revoked.",
            remedy="To let the hospital in again, ask it for a new request under another name.",
        )


def _refuse_answer_to_others(said: Mapping[str, Any], site: SiteSettings) -> None:
    if said.get("name") != site.name or said.get("project") != site.federation:
        raise RequestError(
            f"The answer is for the site '{said.get('name')}' of '{said.get('project')}',"
            f" not for '{site.name}' of '{site.federation}'.",
            remedy="Ask the coordinator for the answer to this site's request.",
        )
    hashes = said.get("hashes")
    key = str(hashes.get("public_key_sha256")) if isinstance(hashes, dict) else ""
    if not same_fingerprint(key, site.fingerprint):
        raise RequestError(
            "The answer is to another request of this site: its certificate is for another key.",
            remedy="Send request.zip of this folder to the coordinator, and use the answer to it.",
        )


def _authority_in(signed: Path, root: Path) -> str:
    """Return the fingerprint of the authority's certificate in an answer."""
    try:
        with zipfile.ZipFile(signed) as archive:
            root.write_bytes(archive.read(ROOT))
    except _BAD_ZIP as error:
        raise _no_such_file() from error
    return fingerprint_of_file(root)


def _server_in(said: Mapping[str, Any]) -> tuple[str, int]:
    """Return host and port of the server; what is said was signed by the authority."""
    try:
        host, port = str(said["server"]["host"]), int(said["server"]["fed_learn_port"])
        check_host(host)
    except (KeyError, TypeError, ValueError, HostError) as error:
        raise _no_such_file() from error
    return host, port


def _copy(file: Path, copy: Path) -> None:
    try:
        if file.stat().st_size > _LARGEST_ZIP:
            raise _no_such_file()
        shutil.copyfile(file, copy)
    except FileNotFoundError as error:
        raise RequestError(
            "There is no such file.", remedy="Name the zip file that was sent to you."
        ) from error
    except OSError as error:
        raise _no_such_file() from error


def _json_of(path: Path, name: str, beside: str) -> Mapping[str, Any]:
    """Return a description inside a zip that holds nothing but a few small, plainly named files."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            is_plain = all(_PLAIN.fullmatch(each) for each in names)
            is_small = len(infos) <= _MOST_FILES and (
                sum(info.file_size for info in infos) <= _LARGEST_ZIP
            )
            is_whole = name in names and any(each.endswith(beside) for each in names)
            if not (is_plain and is_small and is_whole):
                raise _no_such_file()
            value = json.loads(archive.read(name))
    except _BAD_ZIP as error:
        raise _no_such_file() from error
    if not isinstance(value, dict):
        raise _no_such_file()
    return value


def _no_such_file() -> RequestError:
    return RequestError(
        "The file is damaged, or not of a federation.",
        remedy="Ask for it again, and check that nothing on the way changed it.",
    )
