"""Understand what FLARE's processes say in their logs: it is the only way they tell of themselves.

The words are those of nvflare 2.9; `tests/e2e` holds them against the installed one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Literal, Protocol

from engine.federated.kits.faults import RefusedError, RevokedError

State = Literal["starting", "online", "offline"]

_SERVER_UP = re.compile(r" - Server started$")
_JOINED = re.compile(r"Client: New client ([\w-]+)@\S+ joined")
_BACK = re.compile(r"Re-activate the client: ([\w-]+) at")
_GONE = re.compile(r"Client Name:([\w-]+) left\.|Client ([\w-]+) disabled\.")
_TURNED_AWAY = re.compile(r"Handshake failed .*CERTIFICATE_VERIFY_FAILED: (.+)$")

_REGISTERED = re.compile(r"Successfully registered client")
_REJECTED = re.compile(r"registration rejected: (.*)")
# Site and job write one log, and each of their processes counts its connections from the first.
_OPENED = re.compile(r"Connection \[(\w+) N/A => \S+\] is created: PID: (\d+)")
_CLOSED = re.compile(r"Connection \[(\w+) Not Connected\] is closed PID: (\d+)")
# Said where the server answers that it does not know the site, and not where nobody answers.
_NOT_KNOWN = re.compile(r"Failed to send heartbeat\. .*error:client_quit")

_STEADY_S = 1.0  # ours: an attempt that fails is closed within 20 ms
_LOST_S = 2.0  # ours: FLARE tries again after one second
_PROBE_EVERY_S = 15.0  # ours: a cable that was pulled closes nothing
_REFUSALS = 2  # ours


class Ear(Protocol):
    """Listens to one process."""

    def hear(self, line: str) -> None:
        """Hear a line of its log.

        Raises:
            IsletError: If it says that it cannot go on.
        """
        ...

    def state(self) -> State:
        """Return how it is now."""
        ...


class ServerEar:
    """Listens to the server.

    Args:
        on_event: Told of sites: "connected" or "disconnected", and the name; or "alarm" and a text.
    """

    def __init__(self, on_event: Callable[[str, str], None]) -> None:
        self._on_event = on_event
        self._is_up = False
        self._alarms: set[str] = set()

    def hear(self, line: str) -> None:
        """Hear a line."""
        line = line.rstrip()
        if _SERVER_UP.search(line):
            self._is_up = True
        elif found := _JOINED.search(line) or _BACK.search(line):
            self._on_event("connected", found.group(1))
        elif found := _GONE.search(line):
            self._on_event("disconnected", found.group(1) or found.group(2))
        elif found := _TURNED_AWAY.search(line):
            self._alarm(found.group(1))

    def state(self) -> State:
        """Return whether it is up."""
        return "online" if self._is_up else "starting"

    def _alarm(self, why: str) -> None:
        # Once for every reason: whoever is turned away tries again and again.
        if why not in self._alarms:
            self._alarms.add(why)
            text = f"Somebody's certificate was not accepted ({why}), or this clock is wrong."
            self._on_event("alarm", text)


class SiteEar:
    """Listens to a site's client.

    Args:
        is_reached: Asked from time to time whether the server can be reached at all.
        clock: Seconds that never go back.
    """

    def __init__(
        self, is_reached: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_reached = is_reached
        self._clock = clock
        self._opened: dict[tuple[str, ...], float] = {}
        self._lost: float | None = None
        self._probed = clock()
        self._answers = True
        self._refusals = 0
        self._state: State = "starting"

    def hear(self, line: str) -> None:
        """Hear a line.

        Raises:
            RevokedError: If the coordinator sent the site away.
            RefusedError: If the server does not let it in for another reason.
        """
        if _REGISTERED.search(line):
            self._state = "online"
        elif found := _REJECTED.search(line):
            raise RevokedError if "disabled" in found.group(1) else RefusedError
        elif found := _OPENED.search(line):
            self._opened[found.groups()] = self._clock()
            self._lost = None
            self._refusals = 0
        elif found := _CLOSED.search(line):
            if self._opened.pop(found.groups(), None) is not None and not self._opened:
                self._lost = self._clock()
        elif _NOT_KNOWN.search(line):
            self._refusals += 1
            if self._refusals >= _REFUSALS:
                raise RevokedError

    def state(self) -> State:
        """Return whether it is connected."""
        if self._state == "starting":
            return self._state
        now = self._clock()
        if now - self._probed > _PROBE_EVERY_S:
            self._answers = self._is_reached()
            self._probed = now
        if not self._answers or (self._lost is not None and now - self._lost > _LOST_S):
            self._state = "offline"
        elif any(now - since > _STEADY_S for since in self._opened.values()):
            self._state = "online"
        return self._state
