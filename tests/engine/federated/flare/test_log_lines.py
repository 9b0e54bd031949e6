"""What FLARE's processes say, as its version 2.9 words it."""

from __future__ import annotations

import pytest

from engine.federated.flare.log_lines import ServerEar, SiteEar
from engine.federated.kits.faults import RefusedError, RevokedError

_AT = "2026-11-26 11:16:08,720 - "


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A server that is reached, or not."""

    def __init__(self) -> None:
        self.is_there = True
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.is_there


def _opened(number: int, pid: int = 1) -> str:
    return (
        f"{_AT}conn_manager - INFO - Connection [CN0000{number} N/A => localhost:8002] is created:"
        f" PID: {pid}\n"
    )


def _closed(number: int, pid: int = 1) -> str:
    said = f"Connection [CN0000{number} Not Connected] is closed PID: {pid}"
    return f"{_AT}conn_manager - INFO - {said}\n"


_REGISTERED = f"{_AT}FederatedClient - INFO - Successfully registered client:north for project x.\n"
_NO_HEARTBEAT = (
    f"{_AT}Communicator - INFO - Failed to send heartbeat. Will try again. Exception:"
    " FLCommunicationError: error:client_quit\n"
)


def _online() -> tuple[SiteEar, Clock, Server]:
    clock, server = Clock(), Server()
    ear = SiteEar(server, clock)
    assert ear.state() == "starting"
    ear.hear(_opened(2))
    ear.hear(_REGISTERED)
    assert ear.state() == "online"
    return ear, clock, server


def test_a_site_is_online_only_when_it_is_registered() -> None:
    clock = Clock()
    ear = SiteEar(lambda: True, clock)
    ear.hear(_opened(2))
    clock.now += 30
    assert ear.state() == "starting"


def test_a_lost_connection_is_offline_until_one_lasts() -> None:
    ear, clock, _ = _online()
    ear.hear(_closed(2))
    assert ear.state() == "online"
    clock.now += 2.5
    assert ear.state() == "offline"
    for number in (3, 4):
        # An attempt that fails.
        ear.hear(_opened(number))
        clock.now += 0.02
        ear.hear(_closed(number))
        clock.now += 8
        assert ear.state() == "offline"
    ear.hear(_opened(5))
    clock.now += 1.5
    assert ear.state() == "online"


def test_a_connection_that_is_back_at_once_was_never_offline() -> None:
    ear, clock, _ = _online()
    ear.hear(_closed(2))
    clock.now += 1
    ear.hear(_opened(3))
    for _ in range(20):
        clock.now += 0.2
        assert ear.state() == "online"


def test_a_cable_that_was_pulled_is_noticed() -> None:
    ear, clock, server = _online()
    server.is_there = False
    clock.now += 10
    assert ear.state() == "online"
    clock.now += 6
    assert ear.state() == "offline"
    server.is_there = True
    clock.now += 16
    assert ear.state() == "online"
    assert server.asked == 2


def test_a_site_that_is_revoked_hears_it_from_its_heartbeats() -> None:
    ear, _, _ = _online()
    ear.hear(_NO_HEARTBEAT)
    with pytest.raises(RevokedError) as caught:
        ear.hear(_NO_HEARTBEAT)
    assert caught.value.message == (
        "The coordinator has revoked this site: the server lets it in no more."
    )
    assert "under another name" in caught.value.remedy


def test_a_registration_that_is_refused_says_why() -> None:
    for reason, kind in (
        ("Client 'north' is disabled", RevokedError),
        ("Maximum number of clients reached", RefusedError),
    ):
        ear = SiteEar(lambda: True)
        with pytest.raises(kind):
            ear.hear(f"{_AT}Authenticator - ERROR - registration rejected: {reason}\n")


def test_the_server_tells_who_comes_and_goes() -> None:
    told: list[tuple[str, str]] = []
    ear = ServerEar(lambda event, what: told.append((event, what)))
    assert ear.state() == "starting"
    ear.hear(f"{_AT}root - INFO - Server started\n")
    assert ear.state() == "online"
    for line in (
        "ClientManager - INFO - Client: New client north-1@192.0.2.2 joined. Sent token.  Total",
        "ClientManager - INFO - Client: New admin coordinator@islet.example@192.0.2.2 joined.",
        "ClientManager - INFO - Client Name:north-1 left.  Total clients: 0",
        "FederatedServer - INFO - Remove the dead Client. Name: north-1.  Total clients: 0",
        "ClientManager - INFO - Re-activate the client: north-1 at north-1",
        "ClientManager - INFO - Client north-1 disabled. Removed 1 active token(s).",
    ):
        ear.hear(f"{_AT}{line}\n")
    assert told == [
        ("connected", "north-1"),
        ("disconnected", "north-1"),
        ("connected", "north-1"),
        ("disconnected", "north-1"),
    ]


def test_somebody_who_is_turned_away_again_and_again_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    ear = ServerEar(lambda event, what: told.append((event, what)))
    for _ in range(3):
        ear.hear(
            "I1126 11:20:23.882 15580 ssl_transport_security.cc:2563] Handshake failed with error"
            " SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
            "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid\n"
        )
    text = "Somebody's certificate was not accepted (certificate is not yet valid), or this clock"
    assert told == [("alarm", f"{text} is wrong.")]


def test_a_job_that_ends_leaves_its_site_online() -> None:
    ear, clock, _ = _online()
    ear.hear(_opened(3, pid=2))
    # As a site's log has it: of both processes, with the same numbers.
    for line in (_closed(3), _closed(2, pid=2), _closed(3, pid=2)):
        ear.hear(line)
    clock.now += 10
    assert ear.state() == "online"
    ear.hear(_closed(2))
    clock.now += 10
    assert ear.state() == "offline"
