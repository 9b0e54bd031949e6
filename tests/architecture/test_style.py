"""House rules that no linter checks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.source import Module, classes, modules

_MODULES = modules("app", "engine")
_MAX_LINES = 400
# The two places where a bug becomes a message.
_MAY_CATCH_ALL = {"app/tasks/task.py", "app/__main__.py"}


def _places(check: Callable[[Module], Iterator[ast.AST]]) -> list[str]:
    return [
        f"{module.path}:{getattr(node, 'lineno', 0)}"
        for module in _MODULES
        for node in check(module)
    ]


def _decorator_name(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).split(".")[-1]


def _is_frozen_and_slotted(decorator: ast.expr) -> bool:
    if not isinstance(decorator, ast.Call):
        return False
    on = {word.arg for word in decorator.keywords if ast.unparse(word.value) == "True"}
    return {"frozen", "slots"} <= on


def _open_dataclasses(module: Module) -> Iterator[ast.AST]:
    # What a module keeps to itself may change; what others see may not.
    for node in (node for node in classes(module) if not node.name.startswith("_")):
        for decorator in node.decorator_list:
            if _decorator_name(decorator) == "dataclass" and not _is_frozen_and_slotted(decorator):
                yield node


def _catches_all(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _blind_handlers(module: Module) -> Iterator[ast.AST]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node):
            yield node


def _may_catch_all(place: str) -> bool:
    return place.rpartition(":")[0] in _MAY_CATCH_ALL


def _prints(module: Module) -> Iterator[ast.AST]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield node


def test_every_dataclass_that_others_see_is_frozen_and_slotted() -> None:
    assert _places(_open_dataclasses) == []


def test_no_handler_catches_everything() -> None:
    assert [place for place in _places(_blind_handlers) if not _may_catch_all(place)] == []


def test_nothing_is_printed() -> None:
    assert _places(_prints) == []


def test_a_module_can_be_read_in_one_sitting() -> None:
    assert [module.path for module in _MODULES if module.lines > _MAX_LINES] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [module.path for module in _MODULES if not ast.get_docstring(module.tree)] == []


@pytest.mark.parametrize(
    ("source", "check"),
    [
        ("@dataclass\nclass A: ...", _open_dataclasses),
        ("@dataclass(frozen=True)\nclass A: ...", _open_dataclasses),
        ("@dataclasses.dataclass(slots=True)\nclass A: ...", _open_dataclasses),
        ("try: ...\nexcept: ...", _blind_handlers),
        ("try: ...\nexcept (OSError, Exception): ...", _blind_handlers),
        ("print('x')", _prints),
    ],
)
def test_the_checks_notice_what_they_are_for(
    source: str, check: Callable[[Module], Iterator[ast.AST]]
) -> None:
    module = Module("example.py", 1, ast.parse(source))

    assert len(list(check(module))) == 1
