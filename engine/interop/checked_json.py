"""JSON from outside, read field by field, with an error that says which field is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from engine.errors import IsletError


class DamagedJsonError(IsletError):
    """A JSON document lacks a field, or a field is not what its schema says."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(
            f"The file is damaged or of another kind: '{field}' should be {expected}.",
            remedy="Write the file again with 'islet predict', or open another one.",
        )
        self.field = field


class Checked:
    """An object of a JSON document that knows where in the document it is.

    Every method takes the name of a field, and raises DamagedJsonError where the field is
    missing or of another kind.

    Args:
        values: The object.
        where: Its place in the document, for messages, e.g. "findings[0]".
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise DamagedJsonError(where, "an object")
        self._values: Mapping[str, Any] = values
        self._where = where

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._values.get(name)
        return value if isinstance(value, str) else self._complain(name, "a text")

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return one of the `allowed` strings."""
        value = self._values.get(name)
        return value if value in allowed else self._complain(name, f"one of {', '.join(allowed)}")

    def number(self, name: str, *, lowest: float = -math.inf, highest: float = math.inf) -> float:
        """Return a finite number from `lowest` to `highest`."""
        value = self._values.get(name)
        if not _is_number(value) or not lowest <= value <= highest:
            bounded = f" from {lowest:g} to {highest:g}" if math.isfinite(lowest) else ""
            return self._complain(name, f"a number{bounded}")
        return float(value)

    def whole(self, name: str) -> int:
        """Return a whole number that is not negative."""
        value = self._values.get(name)
        if not _is_number(value) or value != int(value) or value < 0:
            return self._complain(name, "a whole number")
        return int(value)

    def whole_or_none(self, name: str) -> int | None:
        """Return a whole number that is not negative, or None where the field is null."""
        return None if name in self._values and self._values[name] is None else self.whole(name)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a list of finite numbers."""
        values = self._list(name, "a list of numbers")
        if not all(_is_number(value) for value in values):
            return self._complain(name, "a list of numbers")
        return tuple(float(value) for value in values)

    def triple(self, name: str) -> tuple[float, float, float]:
        """Return three finite numbers."""
        values = self.numbers(name)
        if len(values) != 3:
            return self._complain(name, "three numbers")
        return values[0], values[1], values[2]

    def affine(self, name: str) -> tuple[tuple[float, ...], ...]:
        """Return four rows of four finite numbers."""
        rows = self._list(name, "four rows of four numbers")
        is_square = len(rows) == 4 and all(isinstance(row, list) and len(row) == 4 for row in rows)
        if not is_square or not all(_is_number(value) for row in rows for value in row):
            return self._complain(name, "four rows of four numbers")
        return tuple(tuple(float(value) for value in row) for row in rows)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self._list(name, "a list of texts")
        if not all(isinstance(value, str) for value in values):
            return self._complain(name, "a list of texts")
        return tuple(values)

    def numbers_by_name(self, name: str) -> dict[str, float]:
        """Return an object whose values are finite numbers."""
        section = self.section(name)
        return {key: section.number(key) for key in section._values}

    def section(self, name: str) -> Checked:
        """Return an object inside this one."""
        return Checked(self._values.get(name), self._path(name))

    def sections(self, name: str) -> tuple[Checked, ...]:
        """Return a list of objects."""
        items = self._list(name, "a list")
        return tuple(Checked(item, f"{self._path(name)}[{i}]") for i, item in enumerate(items))

    def _list(self, name: str, expected: str) -> Sequence[Any]:
        value = self._values.get(name)
        return value if isinstance(value, list) else self._complain(name, expected)

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}"

    def _complain(self, name: str, expected: str) -> Any:
        raise DamagedJsonError(self._path(name), expected)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
