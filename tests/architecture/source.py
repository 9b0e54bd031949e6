"""The source files that the architecture tests read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Module:
    """A module: its path from the root, its lines and its syntax tree."""

    path: str
    lines: int
    tree: ast.Module


def modules(*packages: str) -> tuple[Module, ...]:
    """Parse every module of `packages`."""
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return tuple(_read(file) for file in files)


def classes(module: Module) -> Iterator[ast.ClassDef]:
    """Walk the classes of a module."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def _read(file: Path) -> Module:
    text = file.read_text(encoding="utf-8")
    return Module(str(file.relative_to(ROOT)), text.count("\n"), ast.parse(text))
