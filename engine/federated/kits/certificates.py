"""Find what is wrong with a kit's certificate, key or server before a start.

FLARE itself says nothing: a site with an expired or foreign certificate waits for ever.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.errors import IsletError

_WAIT_S = 5.0
_OPEN_TO_OTHERS = 0o077


class CertificateError(IsletError):
    """A kit that cannot be used as it is."""


class MissingFileError(CertificateError):
    """A kit lacks a file, or one is damaged."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The {what} of this kit is missing or damaged.",
            remedy="Join the federation again with the coordinator's answer.",
        )


class ExpiredError(CertificateError):
    """A certificate is too old."""

    def __init__(self, when: datetime) -> None:
        super().__init__(
            f"The certificate expired on {when:%Y-%m-%d}.",
            remedy="Ask the coordinator to approve this site's request again, and join with the"
            " answer; if the date is not past, set this computer's clock.",
        )


class NotYetValidError(CertificateError):
    """A certificate is of the future."""

    def __init__(self, when: datetime) -> None:
        super().__init__(
            f"The certificate is valid only from {when:%Y-%m-%d %H:%M} UTC on.",
            remedy="Set this computer's clock; the certificate was made by one that is ahead.",
        )


class ForeignError(CertificateError):
    """A certificate of another authority."""

    def __init__(self) -> None:
        super().__init__(
            "The certificate was not signed by the authority of this federation.",
            remedy="Join again with an answer of this federation's coordinator.",
        )


class WrongNameError(CertificateError):
    """A certificate of somebody else."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(
            f"The certificate is that of '{found}', not of '{wanted}'.",
            remedy="Use the kit that was made for this site.",
        )


class KeyMismatchError(CertificateError):
    """A certificate for another key."""

    def __init__(self) -> None:
        super().__init__(
            "The private key does not belong to the certificate.",
            remedy="Use the key that the request was made with, or make a new request.",
        )


class OpenKeyError(CertificateError):
    """A private key that others can read."""

    def __init__(self) -> None:
        super().__init__(
            "Other users of this computer can read the private key.",
            remedy="Take their permission away with 'chmod 600', and make a new request if they may"
            " have read it.",
        )


class UnknownHostError(CertificateError):
    """A server whose name nobody knows."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The name of the server, {host}, is not known here.",
            remedy="Check the network, or ask the coordinator for the server's name.",
        )


class UnreachableError(CertificateError):
    """Nobody answers at the server's port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Nobody answers at port {port} of {host}.",
            remedy="Ask the coordinator whether the server runs, and the network's administrator"
            " whether this port is open.",
        )


class WrongServerError(CertificateError):
    """Who answers is not the server of the federation."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"Who answers is not the server of this federation: {why}.",
            remedy="Do not go on. Ask the coordinator whether the server or its certificate was"
            " changed.",
        )


class RefusedError(CertificateError):
    """The server does not want this certificate."""

    def __init__(self) -> None:
        super().__init__(
            "The server does not accept this site's certificate.",
            remedy="Ask the coordinator whether the site is still a member.",
        )


@dataclass(frozen=True, slots=True)
class Kit:
    """What certificates say of one member.

    Args:
        folder: Holds certificate, key and the authority's certificate.
        name: Whom the certificate must be of.
        role: "client" or "server": begins the names of its files.
        host: Of the server.
        port: Of the server.
    """

    folder: Path
    name: str
    role: str
    host: str
    port: int

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        return self.folder / f"{self.role}.crt"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.folder / f"{self.role}.key"

    @property
    def root(self) -> Path:
        """The authority's certificate."""
        return self.folder / "rootCA.pem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        what: As a reader would say it.
        error: What is wrong; None where nothing is.
    """

    what: str
    error: CertificateError | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is of.

    Args:
        name: Common name.
        organisation: Empty where it has none.
        fingerprint: SHA-256 of the certificate.
        expires: ISO 8601.
    """

    name: str
    organisation: str
    fingerprint: str
    expires: str


def check_kit(kit: Kit) -> tuple[Check, ...]:
    """Look at everything that can be known without a network."""
    looks: tuple[tuple[str, Callable[[Kit], None]], ...] = (
        ("files", _check_files),
        ("permissions of the key", _check_permissions),
        ("authority", _check_authority),
        ("dates", _check_dates),
        ("name", _check_name),
        ("key", _check_key),
    )
    return tuple(_looks(kit, looks))


def check_server(kit: Kit) -> tuple[Check, ...]:
    """Look whether the server answers, and whether it is the right one."""
    looks: tuple[tuple[str, Callable[[Kit], None]], ...] = (
        ("name of the server", _check_host),
        ("port of the server", _check_port),
        ("identity of the server", lambda kit: _refuse_none(server_identity(kit))),
    )
    return tuple(_looks(kit, looks))


def server_identity(kit: Kit) -> Identity:
    """Return who the server proves to be in a handshake with this kit's own certificate.

    Raises:
        CertificateError: If it is not reached, or is not the server of the federation.
    """
    context = ssl.create_default_context(cafile=str(kit.root))
    context.load_cert_chain(str(kit.certificate), str(kit.key))
    try:
        with (
            socket.create_connection((kit.host, kit.port), timeout=_WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=kit.host) as secure,
        ):
            content = secure.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        raise WrongServerError(_reason(error)) from error
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            raise RefusedError from error
        raise WrongServerError("it does not speak TLS") from error
    except socket.gaierror as error:
        raise UnknownHostError(kit.host) from error
    except OSError as error:
        raise UnreachableError(kit.host, kit.port) from error
    assert content is not None, "a handshake that succeeded has a certificate"
    return identity_of(content)


def identity_of(content: bytes) -> Identity:
    """Return who a certificate in DER is of."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_der_x509_certificate(content)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    places = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Identity(
        str(names[0].value) if names else "",
        str(places[0].value) if places else "",
        _grouped(hashlib.sha256(content).hexdigest()),
        certificate.not_valid_after_utc.isoformat(),
    )


def fingerprint_of_file(path: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise MissingFileError("authority's certificate") from error
    return _grouped(hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest())


def key_fingerprint_of(path: Path) -> str:
    """Return the SHA-256 fingerprint of the public half of a private key in PEM."""
    return _grouped(hashlib.sha256(_public_half(path)).hexdigest())


def _looks(kit: Kit, looks: tuple[tuple[str, Callable[[Kit], None]], ...]) -> Iterator[Check]:
    """Look at one thing after the other; after one that is wrong, the rest would mislead."""
    for what, look in looks:
        try:
            look(kit)
        except CertificateError as error:
            yield Check(what, error)
            return
        yield Check(what)


def _check_files(kit: Kit) -> None:
    from cryptography import x509

    for what, path in (("certificate", kit.certificate), ("authority's certificate", kit.root)):
        try:
            x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise MissingFileError(what) from error
    _public_half(kit.key)


def _check_permissions(kit: Kit) -> None:
    if kit.key.stat().st_mode & _OPEN_TO_OTHERS:
        raise OpenKeyError


def _check_authority(kit: Kit) -> None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    root = x509.load_pem_x509_certificate(kit.root.read_bytes())
    own = x509.load_pem_x509_certificate(kit.certificate.read_bytes())
    try:
        own.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ForeignError from error


def _check_dates(kit: Kit) -> None:
    from cryptography import x509

    for path in (kit.certificate, kit.root):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        today = datetime.now(UTC)
        if certificate.not_valid_before_utc > today:
            raise NotYetValidError(certificate.not_valid_before_utc)
        if certificate.not_valid_after_utc < today:
            raise ExpiredError(certificate.not_valid_after_utc)


def _check_name(kit: Kit) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    own = x509.load_pem_x509_certificate(kit.certificate.read_bytes())
    found = identity_of(own.public_bytes(Encoding.DER)).name
    if found != kit.name:
        raise WrongNameError(found, kit.name)


def _check_key(kit: Kit) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    own = x509.load_pem_x509_certificate(kit.certificate.read_bytes())
    certified = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certified != _public_half(kit.key):
        raise KeyMismatchError


def _check_host(kit: Kit) -> None:
    try:
        socket.getaddrinfo(kit.host, kit.port)
    except socket.gaierror as error:
        raise UnknownHostError(kit.host) from error


def _check_port(kit: Kit) -> None:
    try:
        socket.create_connection((kit.host, kit.port), timeout=_WAIT_S).close()
    except OSError as error:
        raise UnreachableError(kit.host, kit.port) from error


def _refuse_none(identity: Identity) -> None:
    assert identity.fingerprint, "a handshake gives an identity or raises"


def _public_half(path: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise MissingFileError("private key") from error
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _reason(error: ssl.SSLCertVerificationError) -> str:
    said = (error.verify_message or "its certificate is not valid").rstrip(".")
    return said[:1].lower() + said[1:]


def _grouped(digest: str) -> str:
    plain = digest.upper()
    return ":".join(plain[begin : begin + 2] for begin in range(0, len(plain), 2))
