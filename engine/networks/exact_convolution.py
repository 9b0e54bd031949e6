"""Keep convolutions of thin volumes out of bf16 on a CPU, where their gradients are wrong.

torch 2.13 with oneDNN on processors with AMX: the weight gradient of a bf16 convolution over a
volume that is two voxels thick, or one voxel wide, is read from memory that nobody wrote. It was
seen to be ten times and 1e15 times too large, to be no number, and to end the process. Such
volumes are those of the deepest stages, so that fp32 costs next to nothing there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_SAFE_EXTENT = 3  # ours: nothing wrong was found from here on


class _Conv3d(nn.Conv3d):
    """A convolution that trains on thin volumes in fp32."""

    def _get_name(self) -> str:
        # What is written of a network tells nothing of how a CPU computes it.
        return nn.Conv3d.__name__

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _is_unsafe(input, weight):
            return super()._conv_forward(input, weight, bias)
        with torch.autocast("cpu", enabled=False):
            exact = super()._conv_forward(input.float(), weight.float(), bias)
        return exact.to(torch.bfloat16)


def make_exact(network: nn.Module) -> None:
    """Let every convolution of `network` that trains on thin volumes do so in fp32, on a CPU.

    Names and values of its parameters stay, and so does what it computes without gradients.
    """
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = _Conv3d


def _is_unsafe(image: Any, weight: Tensor) -> bool:
    return (
        image.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.is_grad_enabled()
        and weight.requires_grad
        and min(image.shape[2:]) < _SAFE_EXTENT
    )
