"""Look a part up by name, with a hint when the name is nearly right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from engine.errors import IsletError

T = TypeVar("T")


class UnknownNameError(IsletError):
    """A name that no registered part carries."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        near = get_close_matches(name, known, n=1)
        listed = f"Known names: {', '.join(known)}." if known else "There is none yet."
        hint = f"Did you mean '{near[0]}'?" if near else listed
        super().__init__(f"There is no {kind} called '{name}'.", remedy=hint)


class Registry(Generic[T]):
    """Parts of one kind by name; filled at import, only read afterwards."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._parts: dict[str, T] = {}

    def add(self, name: str, part: T) -> T:
        """Register `part` under `name`; a name is given once."""
        if name in self._parts:
            raise ValueError(f"{self._kind} '{name}' is registered twice")
        self._parts[name] = part
        return part

    def register(self, name: str) -> Callable[[T], T]:
        """Register the decorated function or class under `name`."""
        return lambda part: self.add(name, part)

    def get(self, name: str) -> T:
        """Return the part called `name`.

        Raises:
            UnknownNameError: If there is none; its remedy names the nearest match.
        """
        if name not in self._parts:
            raise UnknownNameError(self._kind, name, tuple(sorted(self._parts)))
        return self._parts[name]

    def names(self) -> tuple[str, ...]:
        """Return every registered name, in the order of registration."""
        return tuple(self._parts)

    def __iter__(self) -> Iterator[T]:
        return iter(self._parts.values())

    def __contains__(self, name: str) -> bool:
        return name in self._parts
