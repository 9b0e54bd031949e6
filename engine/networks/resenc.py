"""The residual-encoder U-Net: a shared encoder under every head of the multi-task systems."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import Tensor, nn


class ResEncUNet(nn.Module):
    """Residual encoder with a segmentation decoder that also hands out its encoder stages.

    Isensee et al., nnU-Net Revisited, 2024; the layers are those of
    dynamic-network-architectures, so that nnU-Net weights fit by construction.

    Args:
        num_classes: Segmentation classes, background included.
        features: Channels of every stage.
        num_blocks: Residual blocks of every stage.
        strides: Stride with which every stage begins.
        num_decoder_convs: Convolutions of every decoder level.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: Sequence[int],
        num_blocks: Sequence[int],
        strides: Sequence[int],
        num_decoder_convs: int = 1,
    ) -> None:
        super().__init__()
        self.unet = ResidualEncoderUNet(
            input_channels=1,
            n_stages=len(features),
            features_per_stage=list(features),
            conv_op=nn.Conv3d,
            kernel_sizes=3,
            strides=list(strides),
            n_blocks_per_stage=list(num_blocks),
            num_classes=num_classes,
            n_conv_per_stage_decoder=[num_decoder_convs] * (len(features) - 1),
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        )
        self.unet.apply(ResidualEncoderUNet.initialize)
        self.stage_features = tuple(features)
        spans = tuple(accumulate(strides, mul))
        self.stage_strides = tuple((span, span, span) for span in spans)

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
        """Return the parameters of the deepest stage's last block."""
        return tuple(self.unet.encoder.stages[-1].parameters())


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
            state[name] = tensor.detach().to("cpu", torch.float32).contiguous()
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
