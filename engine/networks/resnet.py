"""A residual network without a decoder: what a RetinaNet usually stands on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

_NUM_GROUPS = 8


class ResNetEncoder(nn.Module):
    """A residual network of bottleneck blocks in three dimensions.

    He et al., Deep Residual Learning for Image Recognition, 2016; group instead of batch
    normalisation (Wu & He, 2018), since a batch of patches is small. The outputs have strides
    2 (before pooling), 4, 8, 16 and 32.

    Args:
        num_classes: Not used: without a decoder there are no logits.
        features: Channels inside the blocks of the four stages; the stages give four times as
            many.
        num_blocks: Blocks of the four stages; (3, 4, 6, 3) is ResNet-50.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        features: Sequence[int] = (64, 128, 256, 512),
        num_blocks: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(1, features[0], 7, stride=2, padding=3, bias=False),
            nn.GroupNorm(_NUM_GROUPS, features[0]),
            nn.ReLU(inplace=True),
        )
        self.pool = nn.MaxPool3d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        width = features[0]
        for index, (inner, count) in enumerate(zip(features, num_blocks, strict=True)):
            blocks: list[nn.Module] = []
            for block in range(count):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(Bottleneck(width, inner, stride=stride))
                width = Bottleneck.expansion * inner
            self.stages.append(nn.Sequential(*blocks))
        outer = tuple(Bottleneck.expansion * inner for inner in features)
        self.stage_features = (features[0], *outer)
        self.stage_strides = tuple((2**s, 2**s, 2**s) for s in range(1, len(outer) + 2))

    def encode(self, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the stem and the stages, finest first, each (B, C, D, H, W)."""
        outputs = [self.stem(image_BCDHW)]
        for index, stage in enumerate(self.stages):
            outputs.append(stage(self.pool(outputs[-1]) if index == 0 else outputs[-1]))
        return tuple(outputs)

    def decode(self, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return nothing."""
        return ()

    def shared_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters of the deepest stage's last block."""
        deepest = self.stages[-1]
        assert isinstance(deepest, nn.Sequential)
        return tuple(deepest[-1].parameters())


class Bottleneck(nn.Module):
    """Three convolutions, narrow in the middle, beside a shortcut.

    Args:
        width: Channels that come in.
        inner: Channels in the middle; four times as many go out.
        stride: Of the middle convolution.
    """

    expansion = 4

    def __init__(self, width: int, inner: int, *, stride: int) -> None:
        super().__init__()
        outer = self.expansion * inner
        self.residual = nn.Sequential(
            *_normed(width, inner, 1),
            nn.ReLU(inplace=True),
            *_normed(inner, inner, 3, stride),
            nn.ReLU(inplace=True),
            *_normed(inner, outer, 1),
        )
        same = stride == 1 and width == outer
        self.shortcut = nn.Identity() if same else nn.Sequential(*_normed(width, outer, 1, stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, values_BCDHW: Tensor) -> Tensor:
        """Return (B, 4 inner, D, H, W), at a `stride`-th of the resolution."""
        return self.activation(self.residual(values_BCDHW) + self.shortcut(values_BCDHW))


def _normed(num_inputs: int, num_outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv3d(num_inputs, num_outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(_NUM_GROUPS, num_outputs),
    ]
