"""The networks of nnU-Net's plans: a shared encoder under every head of a multi-task system."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import Tensor, nn

Size = int | Sequence[int]
"""Along all axes, or along (slice, row, column)."""


class _PlannedUNet(nn.Module):
    """What the two networks of nnU-Net's plans have in common."""

    def __init__(
        self,
        unet: ResidualEncoderUNet | PlainConvUNet,
        features: Sequence[int],
        strides: Sequence[Size],
    ) -> None:
        super().__init__()
        self.unet = unet
        self.unet.apply(unet.initialize)
        self.stage_features = tuple(features)
        self.stage_strides = tuple(accumulate((_triple(stride) for stride in strides), _times))

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the output of every encoder stage, finest first, each (B, C, D, H, W)."""
        return tuple(self.unet.encoder(image_BCDHW))

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return segmentation logits (B, K, D, H, W) at every resolution, finest first."""
        return tuple(self.unet.decoder(list(stages)))

    def forward(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return segmentation logits at every resolution, finest first."""
        return self.decode(self.encode(image_BCDHW))

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the deepest encoder stage, all its blocks."""
        return tuple(self.unet.encoder.stages[-1].parameters())


class ResEncUNet(_PlannedUNet):
    """Residual encoder with a segmentation decoder that also hands out its encoder stages.

    Isensee et al., nnU-Net Revisited, 2024; the layers are those of
    dynamic-network-architectures, so that nnU-Net weights fit by construction. With kernels
    (1, 3, 3) and strides (1, 2, 2) throughout it treats every slice on its own.

    Args:
        num_classes: Segmentation classes, background included.
        features: Channels of every stage.
        num_blocks: Residual blocks of every stage.
        strides: Stride with which every stage begins, one number or (slice, row, column).
        kernel_sizes: Of all stages, or of every stage one number or (slice, row, column).
        num_decoder_convs: Convolutions of every decoder level.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: Sequence[int],
        num_blocks: Sequence[int],
        strides: Sequence[Size],
        kernel_sizes: int | Sequence[Size] = 3,
        num_decoder_convs: int = 1,
    ) -> None:
        unet = ResidualEncoderUNet(
            n_blocks_per_stage=list(num_blocks),
            **_planned(num_classes, features, strides, kernel_sizes, num_decoder_convs),
        )
        super().__init__(unet, features, strides)


class PlainUNet(_PlannedUNet):
    """nnU-Net's plain network: as `ResEncUNet`, without residual blocks.

    Isensee et al., nnU-Net, Nature Methods 2021; the layers are those of
    dynamic-network-architectures.

    Args:
        num_classes: Segmentation classes, background included.
        features: Channels of every stage.
        num_convs: Convolutions of every stage, in the encoder and in the decoder.
        strides: Stride with which every stage begins, one number or (slice, row, column).
        kernel_sizes: Of all stages, or of every stage one number or (slice, row, column).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: Sequence[int],
        strides: Sequence[Size],
        kernel_sizes: int | Sequence[Size] = 3,
        num_convs: int = 2,
    ) -> None:
        unet = PlainConvUNet(
            n_conv_per_stage=[num_convs] * len(features),
            **_planned(num_classes, features, strides, kernel_sizes, num_convs),
        )
        super().__init__(unet, features, strides)


def _planned(
    num_classes: int,
    features: Sequence[int],
    strides: Sequence[Size],
    kernel_sizes: int | Sequence[Size],
    num_decoder_convs: int,
) -> dict[str, Any]:
    kernels = [kernel_sizes] * len(features) if isinstance(kernel_sizes, int) else kernel_sizes
    return {
        "input_channels": 1,
        "n_stages": len(features),
        "features_per_stage": list(features),
        "conv_op": nn.Conv3d,
        "kernel_sizes": [list(_triple(kernel)) for kernel in kernels],
        "strides": [list(_triple(stride)) for stride in strides],
        "num_classes": num_classes,
        "n_conv_per_stage_decoder": [num_decoder_convs] * (len(features) - 1),
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }


def _triple(size: Size) -> tuple[int, int, int]:
    along_slice, along_row, along_column = (size,) * 3 if isinstance(size, int) else size
    return along_slice, along_row, along_column


def _times(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] * other[0], one[1] * other[1], one[2] * other[2]


def num_parameters(network: nn.Module) -> int:
    """Count the trainable numbers of `network`."""
    return sum(parameter.numel() for parameter in network.parameters())


def canonical_state(network: nn.Module) -> dict[str, Tensor]:
    """Return every tensor of `network` once, under the first of its names.

    The residual blocks register one tensor under several names; safetensors stores each once.
    """
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            # Counters and look-up tables stay whole numbers.
            dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
            state[name] = tensor.detach().to("cpu", dtype).contiguous()
    return state


def load_canonical_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load what `canonical_state` returned.

    Raises:
        ValueError: If a tensor is missing, left over, or has another shape.
    """
    own = canonical_state(network)
    wrong = sorted(set(own) ^ set(state))
    wrong += [name for name in own if name in state and own[name].shape != state[name].shape]
    if wrong:
        raise ValueError(f"{len(wrong)} tensors do not fit, first {wrong[0]}")
    targets = network.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in state.items():
            targets[name].copy_(tensor)
