"""Say what a measurement was made on, and when."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any


def machine() -> str:
    """Return the computer in a sentence."""
    return f"{os.cpu_count()} CPUs, {platform.system()}, Python {sys.version.split()[0]}."


def circumstances(device: str) -> dict[str, Any]:
    """Return what a reader must know to judge a speed.

    Args:
        device: "cpu" or "cuda:N", as torch calls it.
    """
    import psutil
    import torch

    load, *_ = psutil.getloadavg()
    on_cuda = device.startswith("cuda")
    return {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if on_cuda else _processor(),
        "cpus": os.cpu_count() or 1,
        "system": platform.system(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "load_average": round(load, 2),
    }


def in_words(facts: Mapping[str, Any]) -> str:
    """Return `circumstances` in a sentence."""
    return (
        f"{facts['device']}, {facts['cpus']} CPUs, {facts['system']}, Python {facts['python']}, "
        f"torch {facts['torch']}, load average {facts['load_average']} at the end, "
        f"{facts['date']}."
    )


def _processor() -> str:
    # Python knows no more than the architecture of a processor on Linux.
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
