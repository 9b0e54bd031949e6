"""Every way a certificate can be wrong is found before a start, and said in a sentence."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engine.federated.kits.certificates import (
    Kit,
    check_kit,
    check_site,
    server_identity,
)
from engine.federated.kits.faults import (
    CertificateError,
    ExpiredError,
    ForeignError,
    MissingFileError,
    NotYetValidError,
    OpenKeyError,
    RefusedError,
    ServerDatesError,
    UnknownHostError,
    UnreachableError,
    WrongNameError,
    WrongServerError,
)
from engine.federated.kits.faults import KeyMismatchError as MismatchError

Key = ec.EllipticCurvePrivateKey
_TODAY = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that signs."""

    name: str
    key: Key
    certificate: x509.Certificate


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "klinik"),
        ]
    )


def _signed(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=30),
) -> x509.Certificate:
    is_root = subject == issuer
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_TODAY + begins)
        .not_valid_after(_TODAY + ends)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _authority(name: str = "trial") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(name, key, _signed(name, key, name, key))


def _kit(folder: Path, authority: Authority, name: str = "north", **dates: timedelta) -> Kit:
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    kit = Kit(folder, name, "client", "localhost", 1)
    own = _signed(name, key, authority.name, authority.key, **dates)
    kit.certificate.write_bytes(own.public_bytes(Encoding.PEM))
    kit.root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    kit.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    kit.key.chmod(0o600)
    return kit


def _fault(kit: Kit) -> CertificateError | None:
    """Return what is wrong, and see that nothing was looked at after it."""
    found = check_kit(kit)
    (place,) = [at for at, each in enumerate(found) if each.error is not None]
    assert [each.was_made for each in found] == [at <= place for at in range(len(found))]
    return found[place].error


def test_a_good_kit_passes_every_check(tmp_path: Path) -> None:
    found = check_kit(_kit(tmp_path / "kit", _authority()))
    assert [each.error for each in found] == [None] * 6


def test_an_expired_certificate_says_when(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority(), begins=timedelta(days=-9), ends=timedelta(days=-2))
    error = _fault(kit)
    assert isinstance(error, ExpiredError)
    day = (_TODAY - timedelta(days=2)).strftime("%Y-%m-%d")
    assert error.message == f"The certificate expired on {day}."
    assert "approve this site's request again" in error.remedy


def test_a_certificate_of_tomorrow_speaks_of_the_clock(tmp_path: Path) -> None:
    error = _fault(_kit(tmp_path / "kit", _authority(), begins=timedelta(days=1)))
    assert isinstance(error, NotYetValidError)
    assert "is valid only from" in error.message
    assert error.remedy.startswith("Set this computer's clock")


def test_a_certificate_of_another_authority_is_foreign(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    # Of the same name: only the signature tells.
    kit.root.write_bytes(_authority().certificate.public_bytes(Encoding.PEM))
    error = _fault(kit)
    assert isinstance(error, ForeignError)
    assert error.message == ("The certificate was not signed by the authority of this federation.")


def test_the_certificate_of_another_site_is_named(tmp_path: Path) -> None:
    kit = replace(_kit(tmp_path / "kit", _authority(), "south"), name="north")
    error = _fault(kit)
    assert isinstance(error, WrongNameError)
    assert error.message == "The certificate is that of 'south', not of 'north'."


def test_a_key_of_another_certificate_does_not_pass(tmp_path: Path) -> None:
    authority = _authority()
    kit = _kit(tmp_path / "kit", authority)
    other = _kit(tmp_path / "other", authority)
    kit.key.write_bytes(other.key.read_bytes())
    error = _fault(kit)
    assert isinstance(error, MismatchError)
    assert error.message == "The private key does not belong to the certificate."


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    kit.key.chmod(0o644)
    error = _fault(kit)
    assert isinstance(error, OpenKeyError)
    assert error.message == "Other users of this computer can read the private key."


@pytest.mark.parametrize("part", ["certificate", "key", "root"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, part: str) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    path: Path = getattr(kit, part)
    words = {"certificate": "certificate", "key": "private key", "root": "authority's certificate"}
    for content in (b"no PEM", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        error = _fault(kit)
        assert isinstance(error, MissingFileError)
        assert error.message == f"The {words[part]} of this kit is missing or damaged."


@contextlib.contextmanager
def _server(
    authority: Authority, folder: Path, name: str = "localhost", **dates: timedelta
) -> Iterator[int]:
    """Yield the port of a server that asks for certificates of `authority`."""
    kit = _kit(folder, authority, name, **dates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kit.certificate, kit.key)
    context.load_verify_locations(kit.root)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("localhost", 0)) as listening:
        listening.settimeout(0.1)
        ends = threading.Event()

        def listen() -> None:
            while not ends.is_set():
                with contextlib.suppress(OSError):
                    plain, _ = listening.accept()
                    plain.settimeout(2)
                    with context.wrap_socket(plain, server_side=True) as secure:
                        # As FLARE's does: it greets whom it accepts.
                        secure.sendall(b"settings")
                        secure.recv(1)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ends.set()
            thread.join()


def test_the_server_proves_who_it_is(tmp_path: Path) -> None:
    authority = _authority()
    kit = _kit(tmp_path / "kit", authority)
    with _server(authority, tmp_path / "server") as port:
        identity = server_identity(replace(kit, port=port))
        assert [each.error for each in check_site(replace(kit, port=port))] == [None] * 9
    assert (identity.name, identity.organisation) == ("localhost", "klinik")
    assert len(identity.fingerprint.split(":")) == 32


def test_a_server_of_another_authority_or_name_is_not_the_federations(tmp_path: Path) -> None:
    authority = _authority()
    kit = _kit(tmp_path / "kit", authority)
    with _server(_authority("other"), tmp_path / "foreign") as port:
        with pytest.raises(WrongServerError) as caught:
            server_identity(replace(kit, port=port))
        assert caught.value.message.startswith("Who answers is not the server")
    with (
        _server(authority, tmp_path / "misnamed", "elsewhere") as port,
        pytest.raises(WrongServerError, match="hostname mismatch"),
    ):
        server_identity(replace(kit, port=port))


def test_a_server_that_does_not_want_the_site_says_so(tmp_path: Path) -> None:
    authority = _authority()
    kit = _kit(tmp_path / "kit", _authority("other"))
    kit.root.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    with (
        _server(authority, tmp_path / "server") as port,
        pytest.raises(RefusedError, match="does not accept this site's certificate"),
    ):
        server_identity(replace(kit, port=port))


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [
        (timedelta(days=-9), timedelta(days=-2), "certificate has expired"),
        (timedelta(days=2), timedelta(days=9), "certificate is not yet valid"),
    ],
)
def test_dates_of_the_server_speak_of_the_clock(
    tmp_path: Path, begins: timedelta, ends: timedelta, why: str
) -> None:
    authority = _authority()
    kit = _kit(tmp_path / "kit", authority)
    with (
        _server(authority, tmp_path / "server", begins=begins, ends=ends) as port,
        pytest.raises(ServerDatesError) as caught,
    ):
        server_identity(replace(kit, port=port))
    assert caught.value.message == f"The server's certificate cannot be used today: {why}."
    assert caught.value.remedy.startswith("Set this computer's clock")


def test_a_certificate_that_is_expired_for_the_server_only_is_refused(tmp_path: Path) -> None:
    """The server's clock is ahead; it hangs up only after the handshake."""
    authority = _authority()
    kit = _kit(tmp_path / "kit", authority, begins=timedelta(days=-9), ends=timedelta(days=-2))
    with (
        _server(authority, tmp_path / "server") as port,
        pytest.raises(RefusedError) as caught,
    ):
        server_identity(replace(kit, port=port))
    assert "whether the clock of the server is right" in caught.value.remedy


def test_an_authority_that_expired_needs_another_federation(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    own = ec.generate_private_key(ec.SECP256R1())
    old = _signed("trial", own, "trial", own, timedelta(days=-9), timedelta(days=-1))
    site_key = ec.generate_private_key(ec.SECP256R1())
    kit.root.write_bytes(old.public_bytes(Encoding.PEM))
    kit.certificate.write_bytes(_signed("north", site_key, "trial", own).public_bytes(Encoding.PEM))
    error = _fault(kit)
    assert isinstance(error, ExpiredError)
    assert error.remedy.startswith("Begin another federation")


def test_a_port_where_nobody_says_anything_is_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.federated.kits.certificates._WAIT_S", 0.2)
    kit = _kit(tmp_path / "kit", _authority())
    with (
        socket.create_server(("localhost", 0)) as listening,
        pytest.raises(WrongServerError, match="it does not answer as one"),
    ):
        server_identity(replace(kit, port=listening.getsockname()[1]))


def test_a_server_that_is_not_there_is_told_from_one_that_nobody_knows(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    with socket.create_server(("localhost", 0)) as listening:
        port = listening.getsockname()[1]
    (error,) = [each.error for each in check_site(replace(kit, port=port)) if each.error]
    assert isinstance(error, UnreachableError)
    assert error.message == f"Nobody answers at port {port} of localhost."
    elsewhere = replace(kit, host="no-such-host.invalid")
    (error,) = [each.error for each in check_site(elsewhere) if each.error]
    assert isinstance(error, UnknownHostError)
    assert error.message == "The name of the server, no-such-host.invalid, is not known here."


def test_something_else_at_the_port_is_no_server(tmp_path: Path) -> None:
    kit = _kit(tmp_path / "kit", _authority())
    with socket.create_server(("localhost", 0)) as listening:

        def answer() -> None:
            plain, _ = listening.accept()
            with plain:
                plain.recv(10)
                plain.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WrongServerError, match="it does not speak TLS"):
            server_identity(replace(kit, port=listening.getsockname()[1]))
        thread.join()
