"""What can be wrong with a kit's certificate, key or server, in sentences."""

from __future__ import annotations

from datetime import datetime

from engine.errors import IsletError


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

    def __init__(self, when: datetime, *, remedy: str) -> None:
        super().__init__(
            f"The certificate expired on {when:%Y-%m-%d}.",
            remedy=f"{remedy} If the date is not past, set this computer's clock.",
        )


class NotYetValidError(CertificateError):
    """A certificate is of the future."""

    def __init__(self, when: datetime) -> None:
        super().__init__(
            f"The certificate is valid only from {when:%Y-%m-%d %H:%M} UTC on.",
            remedy="Set this computer's clock; if it is right, the certificate was made by one"
            " that is ahead.",
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


class ServerDatesError(CertificateError):
    """The server's certificate is too old, or of the future."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The server's certificate cannot be used today: {why}.",
            remedy="Set this computer's clock; if it is right, tell the coordinator.",
        )


class RefusedError(CertificateError):
    """The server does not want this certificate."""

    def __init__(self) -> None:
        super().__init__(
            "The server does not accept this site's certificate.",
            remedy="Ask the coordinator whether the site is still a member, and whether the clock"
            " of the server is right.",
        )


class RevokedError(CertificateError):
    """The coordinator sent the site away."""

    def __init__(self) -> None:
        super().__init__(
            "The coordinator has revoked this site: the server lets it in no more.",
            remedy="Ask the coordinator why. To come back, make a new request under another name.",
        )


class PortTakenError(CertificateError):
    """Somebody else uses the server's port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} of this computer is in use already.",
            remedy="End the other server, or make a federation with another --port.",
        )
