"""Find what is wrong with a kit's certificate, key or server before a start.

FLARE itself says nothing: a site with an expired or foreign certificate waits for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.federated.kits.faults import (
    CertificateError,
    ExpiredError,
    ForeignError,
    KeyMismatchError,
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
from engine.federated.kits.names import grouped

_WAIT_S = 5.0
_OPEN_TO_OTHERS = 0o077
_EXPIRED, _NOT_YET_VALID = 10, 9  # of OpenSSL: X509_V_ERR_CERT_HAS_EXPIRED and _NOT_YET_VALID
_NO_TLS = "it does not speak TLS"
_APPROVE_AGAIN = (
    "Ask the coordinator to approve this site's request again, and join with the answer."
)
_BEGIN_AGAIN = "Begin another federation, which the sites join."


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
    """One thing that was looked at, or would have been.

    Args:
        what: As a reader would say it.
        error: What is wrong; None where nothing is.
        was_made: False where something before it is wrong, so that it would have misled.
    """

    what: str
    error: CertificateError | None = None
    was_made: bool = True


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
    return tuple(_made(_KIT_LOOKS, kit))


def check_site(kit: Kit) -> tuple[Check, ...]:
    """Look at a site's kit; if it is right, look whether the right server answers and agrees."""
    return tuple(_made((*_KIT_LOOKS, *_SERVER_LOOKS), kit))


def server_identity(kit: Kit) -> Identity:
    """Return who the server proves to be in a handshake with this kit's own certificate.

    Raises:
        CertificateError: If it is not reached, is not the server of the federation, or does not
            accept the certificate.
    """
    context = ssl.create_default_context(cafile=str(kit.root))
    context.load_cert_chain(str(kit.certificate), str(kit.key))
    # What FLARE speaks; its server greets first, and hangs up on a certificate it does not accept.
    context.set_alpn_protocols(["h2"])
    with (
        _connection_errors(kit),
        socket.create_connection((kit.host, kit.port), timeout=_WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname=kit.host) as secure,
    ):
        content = secure.getpeercert(binary_form=True)
        if not secure.recv(1):
            raise RefusedError
    assert content is not None, "a handshake that succeeded has a certificate"
    return identity_of(content)


@contextlib.contextmanager
def _connection_errors(kit: Kit) -> Iterator[None]:
    """Say what it means where a connection fails."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(error) from error
    except ssl.SSLError as error:
        is_refusal = "ALERT" in (error.reason or "")
        raise (RefusedError() if is_refusal else WrongServerError(_NO_TLS)) from error
    except (socket.gaierror, UnicodeError) as error:
        raise UnknownHostError(kit.host) from error
    except ConnectionResetError as error:
        raise RefusedError from error
    except TimeoutError as error:
        raise WrongServerError("it does not answer as one") from error
    except OSError as error:
        raise UnreachableError(kit.host, kit.port) from error


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
        grouped(hashlib.sha256(content).hexdigest()),
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
    return grouped(hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest())


def key_fingerprint_of(path: Path) -> str:
    """Return the SHA-256 fingerprint of the public half of a private key in PEM."""
    return grouped(hashlib.sha256(_public_half(path)).hexdigest())


def check_host(kit: Kit) -> None:
    """Look whether the server's name is known.

    Raises:
        UnknownHostError: If it is not.
    """
    try:
        socket.getaddrinfo(kit.host, kit.port)
    except (socket.gaierror, UnicodeError) as error:
        raise UnknownHostError(kit.host) from error


def look(what: str, kit: Kit, at: Callable[[Kit], None]) -> Check:
    """Look at one thing."""
    try:
        at(kit)
    except CertificateError as error:
        return Check(what, error)
    return Check(what)


_Looks = tuple[tuple[str, Callable[[Kit], None]], ...]


def _made(looks: _Looks, kit: Kit) -> Iterator[Check]:
    """Look at one thing after the other; after one that is wrong, the rest would mislead."""
    is_right = True
    for what, at in looks:
        check = look(what, kit, at) if is_right else Check(what, was_made=False)
        is_right = is_right and check.error is None
        yield check


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

    own = _APPROVE_AGAIN if kit.role == "client" else _BEGIN_AGAIN
    for path, remedy in ((kit.root, _BEGIN_AGAIN), (kit.certificate, own)):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        today = datetime.now(UTC)
        if certificate.not_valid_before_utc > today:
            raise NotYetValidError(certificate.not_valid_before_utc)
        if certificate.not_valid_after_utc < today:
            raise ExpiredError(certificate.not_valid_after_utc, remedy=remedy)


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


def _check_port(kit: Kit) -> None:
    try:
        socket.create_connection((kit.host, kit.port), timeout=_WAIT_S).close()
    except OSError as error:
        raise UnreachableError(kit.host, kit.port) from error


def _check_identity(kit: Kit) -> None:
    assert server_identity(kit).fingerprint, "a handshake gives an identity or raises"


_KIT_LOOKS: _Looks = (
    ("files", _check_files),
    ("permissions of the key", _check_permissions),
    ("authority", _check_authority),
    ("dates", _check_dates),
    ("name", _check_name),
    ("key", _check_key),
)
_SERVER_LOOKS: _Looks = (
    ("name of the server", check_host),
    ("port of the server", _check_port),
    ("identity of the server", _check_identity),
)


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


def _not_trusted(error: ssl.SSLCertVerificationError) -> CertificateError:
    said = (error.verify_message or "its certificate is not valid").rstrip(".")
    reason = said[:1].lower() + said[1:]
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return ServerDatesError(reason)
    return WrongServerError(reason)
