"""What every error that reaches a user must have."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import classes, modules

_MODULES = modules("app", "engine")
_CLASSES = {node.name: node for module in _MODULES for node in classes(module)}


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).split(".")[-1] for base in node.bases]


def _own_init(node: ast.ClassDef) -> ast.FunctionDef | None:
    found = (part for part in node.body if isinstance(part, ast.FunctionDef))
    return next((part for part in found if part.name == "__init__"), None)


def _is_error(name: str) -> bool:
    if name == "IsletError":
        return True
    return name in _CLASSES and any(_is_error(base) for base in _bases(_CLASSES[name]))


def _takes_remedy(name: str) -> bool:
    """Return whether whoever raises error `name` says what to do; other errors know it."""
    node = _CLASSES[name]
    init = _own_init(node)
    if init is not None:
        return "remedy" in {argument.arg for argument in init.args.kwonlyargs + init.args.args}
    return any(_takes_remedy(base) for base in _bases(node) if _is_error(base))


_ERRORS = frozenset(name for name in _CLASSES if _is_error(name))
_REMEDY_AT_RAISE = frozenset(name for name in _ERRORS if _takes_remedy(name))


def _words(call: ast.Call) -> set[str | None]:
    return {word.arg for word in call.keywords}


def _is_super_init(call: ast.Call, node: ast.ClassDef) -> bool:
    needs = any(base in _REMEDY_AT_RAISE for base in _bases(node))
    return needs and ast.unparse(call.func) == "super().__init__"


def _calls_that_owe_a_remedy() -> Iterator[tuple[str, ast.Call]]:
    for module in _MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                if ast.unparse(node.func).split(".")[-1] in _REMEDY_AT_RAISE:
                    yield f"{module.path}:{node.lineno}", node
            elif isinstance(node, ast.ClassDef) and node.name in _ERRORS:
                for call in ast.walk(node):
                    if isinstance(call, ast.Call) and _is_super_init(call, node):
                        yield f"{module.path}:{call.lineno}", call


def _written_remedies() -> Iterator[tuple[str, str]]:
    """Give the constant remedies, and the constant end of composed ones."""
    for module in _MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                composed = isinstance(node.value, ast.JoinedStr)
                last = node.value.values[-1] if composed else node.value
                if isinstance(last, ast.Constant) and isinstance(last.value, str):
                    yield f"{module.path}:{node.value.lineno}", last.value


def test_every_error_says_what_to_do() -> None:
    calls = list(_calls_that_owe_a_remedy())

    # None stands for **fields: an error passed on carries the remedy it came with.
    assert [place for place, call in calls if not {None, "remedy"} & _words(call)] == []
    assert calls


def test_remedies_are_finished_sentences() -> None:
    remedies = list(_written_remedies())

    assert [(place, text) for place, text in remedies if text.rstrip()[-1:] not in ".!?"] == []
    assert remedies


def test_the_errors_are_found() -> None:
    assert {"IsletError", "CancelledError", "UnknownNameError"} <= _ERRORS
    assert "CancelledError" not in _REMEDY_AT_RAISE
