"""What a training ran on, so that its figures can be judged; nothing that names a person."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil
import torch

_PACKAGES = ("islet", "torch", "numpy", "monai", "scipy", "safetensors")
_GIT_LIMIT_S = 10


def environment() -> dict[str, Any]:
    """Return the machine and the versions, as plain JSON values.

    User, host and folders are left out: the file travels with the weights.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in _PACKAGES},
        "cuda": torch.version.cuda,
        "cpu": _cpu_name(),
        "num_cores": psutil.cpu_count(logical=False),
        "num_threads": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [_gpu(index) for index in range(torch.cuda.device_count())],
        **_git(Path(__file__).resolve().parents[2]),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _gpu(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {"name": properties.name, "memory_bytes": properties.total_memory}


def _git(root: Path) -> dict[str, Any]:
    """Return the revision of the code, and whether it was changed since; empty elsewhere."""
    if not (root / ".git").exists():
        return {}
    revision = _say_git(root, "rev-parse", "HEAD")
    if revision is None:
        return {}
    changes = _say_git(root, "status", "--porcelain", "--untracked-files=no")
    return {"git_revision": revision, "git_changed": changes != ""}


def _say_git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_GIT_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
