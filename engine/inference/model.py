"""A trained system in memory, ready to predict."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from engine.archive.registered import systems_folder, weights_of
from engine.archive.run_folder import WEIGHTS_FILE
from engine.errors import IsletError
from engine.inference.device import choose_device, choose_precision
from engine.networks.build import MultitaskNetwork, build
from engine.networks.resenc import canonical_state, load_canonical_state
from engine.networks.vae import strip, strip_system
from engine.system import System

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "islet-weights-1"
# Kept whole: the subtype head is small, and statistics may exceed what half precision holds.
_WHOLE = ("subtype.",)
_WHOLE_ENDINGS = (".running_mean", ".running_var")


class WeightsError(IsletError):
    """A weights file that is missing, broken or of another system."""

    def __init__(self, system: str, what: str) -> None:
        super().__init__(
            f"The weights of the system '{system}' {what}.",
            remedy="Reinstall Islet, train the system, or choose another one.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A system with its trained network on one device.

    Args:
        system: What it is.
        network: In evaluation mode.
        localiser: The coarse model that finds the pancreas first, where there is one.
        device: Where the network is.
        precision: "fp32", "bf16" or "fp16", used for the forward passes.
        digest: SHA-256 of the weights file, hexadecimal.
    """

    system: System
    network: MultitaskNetwork
    localiser: Model | None
    device: torch.device
    precision: str
    digest: str


def weights_path(system: System) -> Path:
    """Return where the weights of `system` are, shipped or registered, or would be."""
    return weights_of(system.name) or systems_folder() / system.name / WEIGHTS_FILE


def load_model(system: System, device: str = "auto", weights: Path | None = None) -> Model:
    """Load the trained networks of `system`.

    Args:
        system: Of the catalogue, or registered.
        device: "auto", "cpu" or "cuda:N".
        weights: Another weights file than the system's own.

    Raises:
        WeightsError: If the file is missing, broken, or does not fit the system.
        IsletError: If the device does not exist.
    """
    path = weights or weights_path(system)
    state = _read(system, path)
    target = choose_device(device)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    localiser = None
    if system.localiser is not None:
        localiser = _assemble(system.localiser, _under(state, "localiser."), target, digest)
    main = _assemble(system, _under(state, "main."), target, digest)
    return Model(system, main.network, localiser, target, main.precision, digest)


def save_model(
    system: System, main: MultitaskNetwork, localiser: MultitaskNetwork | None, path: Path
) -> None:
    """Write the networks of `system` as one safetensors file, each tensor once.

    Weights are rounded to half precision, finer than what they compute with. The staged subtype
    head and the statistics of batch normalisation are kept whole, and so is every whole number.
    Heads that only serve training are left out. A file that was there stays until the new one is
    whole.

    Raises:
        OSError: If it cannot be written, e.g. because the disk is full; nothing is left behind.
    """
    tensors = _stored("main", main)
    if localiser is not None:
        tensors |= _stored("localiser", localiser)
    # One entry: safetensors writes several in any order, and the digest would change.
    about = {"islet": json.dumps({"format": _FORMAT, "system": system.name})}
    part = path.with_suffix(".part")
    # By way of memory: safetensors does not say as a program would why a write failed.
    content = save(tensors, metadata=about)
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _stored(prefix: str, network: MultitaskNetwork) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": tensor.half() if _is_halved(name, tensor) else tensor
        for name, tensor in canonical_state(strip(network)).items()
    }


def _is_halved(name: str, tensor: Tensor) -> bool:
    is_whole = name.startswith(_WHOLE) or name.endswith(_WHOLE_ENDINGS)
    return tensor.is_floating_point() and not is_whole


def _assemble(system: System, state: dict[str, Tensor], device: torch.device, digest: str) -> Model:
    network = build(strip_system(system))
    try:
        load_canonical_state(network, state)
    except ValueError as error:
        raise WeightsError(system.name, "do not fit its network") from error
    network.eval().to(device)
    return Model(system, network, None, device, choose_precision(device), digest)


def _read(system: System, path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise WeightsError(system.name, "are not installed")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("islet", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(system.name, "are damaged") from error
    if about != {"format": _FORMAT, "system": system.name}:
        raise WeightsError(system.name, "belong to another system")
    return state


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
