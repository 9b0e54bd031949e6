"""Systems and plans as JSON: data that is checked field by field, never code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.errors import IsletError
from engine.run import Plan
from engine.system import System

T = TypeVar("T")

# Smaller versions are other systems: what was trained is one of them.
_NOT_STORED = {System: frozenset({"sizes"}), Plan: frozenset({"system"})}


class DamagedSystemError(IsletError):
    """JSON that describes no system or plan this version of Islet knows."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(
            f"The description of the system is damaged or newer: '{field}' should be {expected}.",
            remedy="Train the system again, or update Islet if a later version wrote it.",
        )
        self.field = field


def system_to_json(system: System) -> dict[str, Any]:
    """Return `system` as plain JSON values; its smaller sizes are left out.

    Raises:
        ValueError: If a setting of a part is nothing that JSON can say.
    """
    return _write(system)


def system_from_json(value: object) -> System:
    """Return the system that `system_to_json` wrote; lists become tuples again.

    A field with a default may be missing, because an earlier Islet may not have known it.

    Raises:
        DamagedSystemError: If a field is missing, unknown or not what a system has there.
    """
    return _read_value(System, value, "system", {})


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return `plan` as plain JSON values, all but its system."""
    return _write(plan)


def plan_from_json(value: object, system: System) -> Plan:
    """Return the plan that `plan_to_json` wrote, for `system`.

    Raises:
        DamagedSystemError: If a field is missing, unknown or not what a plan has there.
    """
    return _read_value(Plan, value, "plan", {"system": system})


def _write(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _write(getattr(value, field.name)) for field in _stored(type(value))}
    if isinstance(value, Mapping):
        return {_key(key): _write(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_write(item) for item in value]
    if value is None or isinstance(value, str | bool | int) or _is_finite(value):
        return value
    raise ValueError(f"{type(value).__name__} {value!r} has no place in JSON")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the name {key!r} is not a text")
    return key


def _read_value(kind: type[T], value: object, where: str, given: Mapping[str, Any]) -> T:
    """Return a dataclass of `kind`, with the fields `given` beside those of `value`."""
    if not isinstance(value, Mapping):
        raise DamagedSystemError(where, "an object")
    known = {field.name: field for field in _stored(kind)}
    for name in value:
        if name not in known:
            raise DamagedSystemError(f"{where}.{name}", "left out; this Islet does not know it")
    hints = _hints(kind)
    content = dict(given)
    for name, field in known.items():
        if name in value:
            content[name] = _read(hints[name], value[name], f"{where}.{name}")
        elif not _has_default(field):
            raise DamagedSystemError(f"{where}.{name}", "there")
    return kind(**content)


def _read(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _read_optional(hint, value, where)
    if origin is tuple:
        return _read_tuple(get_args(hint), value, where)
    if origin is Mapping:
        return _read_settings(value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return _read_value(hint, value, where, {})
    return _read_scalar(hint, value, where)


def _read_optional(hint: Any, value: object, where: str) -> Any:
    (wanted,) = (kind for kind in get_args(hint) if kind is not NoneType)
    return None if value is None else _read(wanted, value, where)


def _read_tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise DamagedSystemError(where, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise DamagedSystemError(where, f"a list of {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}[{index}]")
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _read_settings(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DamagedSystemError(where, "an object")
    return {str(key): _read_setting(item, f"{where}.{key}") for key, item in value.items()}


def _read_setting(value: object, where: str) -> Any:
    if isinstance(value, list):
        return tuple(_read_setting(item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, Mapping):
        return _read_settings(value, where)
    if value is None or isinstance(value, str | bool | int) or _is_finite(value):
        return value
    raise DamagedSystemError(where, "a finite number")


def _read_scalar(kind: Any, value: object, where: str) -> Any:
    if kind is float and (type(value) is int or _is_finite(value)):
        return value
    # To Python a truth value is a whole number; here it is not.
    if kind is not float and type(value) is kind:
        return value
    words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    raise DamagedSystemError(where, words[kind])


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _stored(kind: type) -> tuple[Field[Any], ...]:
    left_out = _NOT_STORED.get(kind, frozenset())
    return tuple(field for field in fields(kind) if field.name not in left_out)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
