"""Run one network on one patch in a process of its own, so that no other's memory shows.

Its stdout is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def measure(name: str, size: str, runs: int, device_name: str, precision: str) -> dict[str, Any]:
    """Return what passes of one patch through all heads take.

    Args:
        name: Of the system.
        size: Of the system.
        runs: That count; one before them does not.
        device_name: "cpu" or "cuda:N".
        precision: "fp32", "bf16" or "fp16".
    """
    import torch

    from engine.archive.registered import find_system
    from engine.inference.device import autocast
    from engine.inference.memory import peak_memory_bytes
    from engine.networks.build import build

    system, device = find_system(name).at(size), torch.device(device_name)
    network = build(system).to(device).eval()
    # In memory it counts from here on: the program and the libraries are the same for all.
    before = _held_bytes() - sum(one.nbytes for one in network.parameters())
    image = torch.randn(1, 1, *system.inference.patch_shape, device=device)
    seconds: list[float] = []
    with torch.inference_mode(), autocast(device, precision):
        for _ in range(runs + 1):
            started = time.perf_counter()
            network.outputs(image)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started)
    on_cuda = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_cuda else peak_memory_bytes() - before
    return {"seconds": seconds[1:], "peak_bytes": peak}


def _held_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    name, size, runs, device, precision = sys.argv[1:]
    sys.stdout.write(json.dumps(measure(name, size, int(runs), device, precision)) + "\n")
