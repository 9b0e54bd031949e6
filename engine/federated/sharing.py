"""Let only the largest part of an update leave a site, in few bytes.

An encoded update is a safetensors file; nothing in it is ever run. It holds

- `values`: float32, every shared number of the floating tensors, which are taken in the order of
  their names and each in row-major order;
- `mask`: uint8, a zlib stream of one bit for every number of those tensors, highest bit first;
- `whole.NAME`: every tensor of whole numbers, as it is;
- as metadata, under "islet", JSON {"format": …, "shapes": {NAME: [sizes]}} of the floating ones.

Sharing a part hides nothing for certain: it gives no guarantee of differential privacy.
"""

from __future__ import annotations

import json
import math
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.errors import IsletError
from engine.federated.aggregate import Update

_FORMAT = "islet-update-1"
_WHOLE = "whole."
_HEADER_BYTES = 8
_MOST_NUMBERS = 1 << 32
_LEVEL = 6


class DamagedUpdateError(IsletError):
    """Bytes that are no update, or not one of this network."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The update of a site cannot be used: {what}.",
            remedy="Check that the site runs the same version of Islet and the same system.",
        )


def share(update: Update, fraction: float) -> dict[str, Tensor]:
    """Return `update` with zeros in place of all but its largest numbers.

    Kept are ⌈fraction n⌉ of the n numbers of all floating tensors together, those of the largest
    magnitude, unclipped, and whatever is as large as the smallest of them. Whole numbers stay.

    Raises:
        ValueError: If the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError("the shared fraction must be above 0 and at most 1")
    floats = {name: tensor for name, tensor in update.items() if tensor.is_floating_point()}
    if fraction == 1 or not floats:
        return dict(update)
    sizes = torch.cat([tensor.detach().abs().float().flatten() for tensor in floats.values()])
    num_kept = math.ceil(fraction * len(sizes))
    smallest = sizes.kthvalue(len(sizes) - num_kept + 1).values
    kept = {name: tensor.where(tensor.abs() >= smallest, 0) for name, tensor in floats.items()}
    return {name: kept.get(name, tensor) for name, tensor in update.items()}


def share_with_memory(
    update: Update, fraction: float, unsent: Update
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Share, and remember what was held back, so that it is sent once it has grown (ours).

    Error feedback, Stich et al., Sparsified SGD with memory, 2018.

    Args:
        update: Of this round.
        fraction: As in `share`.
        unsent: What earlier rounds held back; empty at first.

    Returns:
        What is shared, and what is unsent now: together they are `update` plus `unsent`.
    """
    owed = {
        name: tensor + unsent[name] if name in unsent else tensor for name, tensor in update.items()
    }
    shared = share(owed, fraction)
    rest = {name: owed[name] - shared[name] for name in owed if owed[name].is_floating_point()}
    return shared, rest


def dense_bytes(update: Update) -> int:
    """Return what an update would take if every number were sent as it is."""
    return sum(tensor.numel() * tensor.element_size() for tensor in update.values())


def encode(update: Update) -> bytes:
    """Return an update as bytes; zeros cost a bit at most, other numbers four bytes more.

    Floating tensors travel as float32.

    Raises:
        DamagedUpdateError: If a number is not finite.
    """
    floats = _floats(update)
    flat = _flat(floats)
    if not np.isfinite(flat).all():
        raise DamagedUpdateError("a number in it is not finite")
    mask = flat != 0
    packed = zlib.compress(np.packbits(mask).tobytes(), _LEVEL)
    tensors = {
        "values": torch.from_numpy(flat[mask]),
        "mask": torch.frombuffer(bytearray(packed), dtype=torch.uint8),
    }
    whole = {name: tensor for name, tensor in update.items() if name not in floats}
    tensors |= {f"{_WHOLE}{name}": tensor.cpu().contiguous() for name, tensor in whole.items()}
    shapes = {name: list(tensor.shape) for name, tensor in floats.items()}
    return save(tensors, {"islet": json.dumps({"format": _FORMAT, "shapes": shapes})})


def decode(content: bytes) -> dict[str, Tensor]:
    """Return the update that `encode` wrote; floating tensors are float32.

    Raises:
        DamagedUpdateError: If `content` is something else, or holds a number that is not finite.
    """
    try:
        tensors = load(content)
        about = _about(content)
        shapes = {name: _shape(sizes) for name, sizes in about["shapes"].items()}
        if about["format"] != _FORMAT:
            raise DamagedUpdateError("it is of another program or version")
        mask = _unpacked(tensors["mask"], sum(math.prod(shape) for shape in shapes.values()))
        values = tensors["values"].numpy()
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise DamagedUpdateError("it is damaged") from error
    if values.dtype != np.float32 or values.shape != (np.count_nonzero(mask),):
        raise DamagedUpdateError("it is damaged")
    if not np.isfinite(values).all():
        raise DamagedUpdateError("a number in it is not finite")
    flat = np.zeros(len(mask), np.float32)
    flat[mask] = values
    update = {
        name.removeprefix(_WHOLE): tensor
        for name, tensor in tensors.items()
        if name.startswith(_WHOLE)
    }
    begin = 0
    for name, shape in shapes.items():
        end = begin + math.prod(shape)
        update[name] = torch.from_numpy(flat[begin:end].copy()).reshape(shape)
        begin = end
    return update


def check_fits(update: Update, model: Update) -> None:
    """Refuse an update that is not of the network of `model`.

    Raises:
        DamagedUpdateError: If names or shapes differ.
    """
    if {n: t.shape for n, t in update.items()} != {n: t.shape for n, t in model.items()}:
        raise DamagedUpdateError("it is of another network")


def _floats(update: Update) -> dict[str, Tensor]:
    return {name: update[name] for name in sorted(update) if update[name].is_floating_point()}


def _flat(floats: dict[str, Tensor]) -> NDArray[np.float32]:
    parts = [tensor.detach().cpu().float().flatten().numpy() for tensor in floats.values()]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _about(content: bytes) -> dict[str, dict[str, list[int]]]:
    # safetensors hands metadata out for files only; its layout says where they are.
    size = int.from_bytes(content[:_HEADER_BYTES], "little")
    header = json.loads(content[_HEADER_BYTES : _HEADER_BYTES + size])
    return json.loads(header["__metadata__"]["islet"])


def _shape(sizes: list[int]) -> tuple[int, ...]:
    if not all(type(size) is int and 0 <= size < _MOST_NUMBERS for size in sizes):
        raise ValueError("not a shape")
    return tuple(sizes)


def _unpacked(mask: Tensor, num_numbers: int) -> NDArray[np.bool_]:
    """Return the mask; no more is unpacked than the shapes ask for, whatever the stream holds."""
    if num_numbers > _MOST_NUMBERS:
        raise ValueError("too many numbers")
    num_bytes = -(-num_numbers // 8)
    stream = zlib.decompressobj()
    # One byte more than there may be, since 0 would ask for everything.
    packed = stream.decompress(mask.numpy().tobytes(), num_bytes + 1)
    if len(packed) != num_bytes or not stream.eof:
        raise ValueError("not as many bits as numbers")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    return bits[:num_numbers].astype(np.bool_)
