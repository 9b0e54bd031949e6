"""The Swin transformer, shared by every head of MTMed3D, with and without Swin UNETR's decoder.

The layers are MONAI's. It is imported when a network is built, because that takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_LARGEST_STRIDE = 32


class SwinEncoder(nn.Module):
    """A Swin transformer of four stages behind a patch embedding; no decoder.

    Tang et al., Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis,
    2022. Its five outputs, each normalised over its channels, have strides 2, 4, 8, 16 and 32.

    Args:
        num_classes: Not used: without a decoder there are no logits.
        feature_size: Channels of the finest output; every next one has twice as many.
        depths: Transformer blocks of the four stages.
        heads: Attention heads of the four stages.
        window: Tokens within which attention acts, along (slice, row, column) or each of them.
        in_channels: Of the image.
    """

    stage_features: tuple[int, ...]
    stage_strides: tuple[tuple[int, int, int], ...]

    def __init__(
        self,
        *,
        num_classes: int,
        feature_size: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int | Sequence[int] = 7,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinTransformer

        # It asks for the values of a tensor while it is built, which the meta device has not.
        with torch.device("cpu"):
            swin = SwinTransformer(
                in_chans=in_channels,
                embed_dim=feature_size,
                window_size=[window] * 3 if isinstance(window, int) else list(window),
                patch_size=(2, 2, 2),
                depths=list(depths),
                num_heads=list(heads),
            )
        self.swin = swin.to(torch.get_default_device())
        self.stage_features = tuple(feature_size * 2**stage for stage in range(5))
        self.stage_strides = tuple((2**stage, 2**stage, 2**stage) for stage in range(1, 6))

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the transformer, finest first, each (B, C, D, H, W).

        Raises:
            ValueError: If an edge of the image is no multiple of 32.
        """
        if any(edge % _LARGEST_STRIDE for edge in image_BCDHW.shape[2:]):
            shape = tuple(image_BCDHW.shape[2:])
            raise ValueError(f"the edges must be multiples of {_LARGEST_STRIDE}, got {shape}")
        return tuple(self.swin(image_BCDHW, normalize=True))

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return nothing."""
        return ()

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the deepest stage's last block.

        Every head's gradient passes it: the decoder and the detector's pyramid both begin at the
        stage behind it. Nothing in a decoder has that property.
        """
        deepest: Any = self.swin.layers4[0]
        return tuple(deepest.blocks[-1].parameters())


class SwinUNETR(SwinEncoder):
    """A Swin transformer with a convolutional decoder.

    Hatamizadeh et al., Swin UNETR, 2022. The first of its six stages is convolutional, at the full
    resolution; the others are those of `SwinEncoder`. Edges of 32 voxels alone are too few to be
    normalised in the deepest stage; one must be 64 at least.

    Args:
        num_classes: Segmentation classes, background included.
        feature_size: See `SwinEncoder`, as are the rest.
        depths: Transformer blocks of the four stages.
        heads: Attention heads of the four stages.
        window: Tokens within which attention acts.
        in_channels: Of the image.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        feature_size: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int | Sequence[int] = 7,
        in_channels: int = 1,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            feature_size=feature_size,
            depths=depths,
            heads=heads,
            window=window,
            in_channels=in_channels,
        )
        first, second, third, fourth, fifth = self.stage_features
        self.full_resolution = _level(in_channels, first)
        self.skips = nn.ModuleList(_level(count, count) for count in (first, second, third))
        self.deepest = _level(fifth, fifth)
        self.up = nn.ModuleList(
            [
                _up(fifth, fourth),
                _up(fourth, third),
                _up(third, second),
                _up(second, first),
                _up(first, first),
            ]
        )
        self.out = nn.Conv3d(first, num_classes, 1)
        self.stage_features = (first, *self.stage_features)
        self.stage_strides = ((1, 1, 1), *self.stage_strides)

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return a convolution of the image, then the outputs of the transformer, finest first.

        Raises:
            ValueError: If an edge of the image is no multiple of 32.
        """
        return (self.full_resolution(image_BCDHW), *super().encode(image_BCDHW))

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return segmentation logits (B, K, D, H, W) at the resolution of the image alone."""
        full, *fine, fourth, fifth = stages
        skips = [full, *(layer(stage) for layer, stage in zip(self.skips, fine, strict=True))]
        skips.append(fourth)  # as it is, in Swin UNETR
        level = self.deepest(fifth)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            level = up(level, skip)
        return (self.out(level),)


def _level(num_inputs: int, num_outputs: int) -> nn.Module:
    from monai.networks.blocks.unetr_block import UnetrBasicBlock

    return UnetrBasicBlock(
        3, num_inputs, num_outputs, kernel_size=3, stride=1, norm_name="instance", res_block=True
    )


def _up(num_inputs: int, num_outputs: int) -> nn.Module:
    from monai.networks.blocks.unetr_block import UnetrUpBlock

    return UnetrUpBlock(
        3,
        num_inputs,
        num_outputs,
        kernel_size=3,
        upsample_kernel_size=2,
        norm_name="instance",
        res_block=True,
    )
