"""Names that certificates and folders can have, and fingerprints as they are read aloud."""

from __future__ import annotations

import re
from unicodedata import normalize

from engine.errors import IsletError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_NAME = 40
_LONGEST_HOST = 64  # that a certificate's common name takes
_TAKEN = frozenset({"server", "admin", "all"})
"""Words that FLARE uses for others."""


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


def check_name(what: str, name: str) -> None:
    """Refuse a name of a site or federation that cannot be used.

    Raises:
        UnusableNameError: If it cannot.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise UnusableNameError(what, name)


def check_host(host: str) -> None:
    """Refuse what is no host name.

    Raises:
        HostError: If it is none.
    """
    is_number = re.fullmatch(r"[0-9.]+", host)
    if not _HOST.fullmatch(host) or is_number or len(host) > _LONGEST_HOST:
        raise HostError(host)


def in_certificates(organisation: str) -> str:
    """Return an organisation's name with the letters that FLARE lets certificates have.

    Raises:
        UnusableNameError: If nothing of it is left.
    """
    plain = normalize("NFKD", organisation).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain)[:_LONGEST_NAME].strip("_")
    if not name:
        raise UnusableNameError("organisation", organisation)
    return name


def grouped(digest: str) -> str:
    """Return a fingerprint as it is read aloud: pairs of capital digits with colons between."""
    plain = _plain(digest)
    return ":".join(plain[begin : begin + 2] for begin in range(0, len(plain), 2))


def same_fingerprint(one: str, other: str) -> bool:
    """Return whether two fingerprints are the same, however they are written."""
    return bool(_plain(one)) and _plain(one) == _plain(other)


def _plain(digest: str) -> str:
    return re.sub(r"[^0-9A-F]", "", digest.upper().removeprefix("SHA256:"))
