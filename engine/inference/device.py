"""Choose where a network runs, and at which precision."""

from __future__ import annotations

import torch

from engine.errors import IsletError


class DeviceMissingError(IsletError):
    """The wanted device is not in this machine."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This machine has no device called '{name}' that the engine can use.",
            remedy="Choose 'auto' or 'cpu', or install a build of torch for your graphics card.",
        )


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" takes the first CUDA device, else the CPU.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:<number>".

    Raises:
        DeviceMissingError: If the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceMissingError(name) from error
    if device.type == "cuda":
        index = device.index or 0
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise DeviceMissingError(name)
        return torch.device("cuda", index)
    if device.type != "cpu":
        raise DeviceMissingError(name)
    return device


def choose_precision(device: torch.device) -> str:
    """Return the fastest precision `device` computes natively: "fp16", "bf16" or "fp32"."""
    if device.type == "cuda":
        # Tensor cores begin with compute capability 7.0; before that fp16 is no faster.
        return "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"
    # Without these instructions a CPU emulates bf16, which is slower than fp32.
    capable = torch.cpu.get_capabilities()
    return "bf16" if capable.get("avx512_bf16") or capable.get("amx_bf16") else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a context that computes at `precision`; "fp32" changes nothing."""
    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return torch.autocast(device.type, dtype=dtype)
