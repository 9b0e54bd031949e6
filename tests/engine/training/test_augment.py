"""Augmentation changes the look of a patch, not its meaning."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from engine.training.augment import Augmentation, augment

_GEOMETRIC = Augmentation(
    spatial_share=1.0, noise=0.0, brightness=0.0, contrast=0.0, blur_share=0.0
)


def _ball() -> tuple[torch.Tensor, torch.Tensor]:
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in (24, 32, 40)), indexing="ij")
    labels = (((z - 12) ** 2 + (y - 16) ** 2 + (x - 28) ** 2) < 36).long()
    return labels.float() * 2 - 1, labels


def test_image_and_labels_move_together() -> None:
    image, labels = _ball()
    moved, truth = augment(image, labels, _GEOMETRIC, torch.Generator().manual_seed(3))
    assert not torch.equal(truth, labels)
    assert float(moved[truth == 1].mean()) > 0.8
    assert float(moved[truth == 0].mean()) < -0.9


def test_left_stays_left() -> None:
    image, labels = _ball()
    for seed in range(20):
        _, truth = augment(image, labels, _GEOMETRIC, torch.Generator().manual_seed(seed))
        assert float(truth.nonzero()[:, 2].float().mean()) > 20


def test_a_rotation_keeps_shapes_in_an_oblong_patch() -> None:
    image, labels = _ball()
    recipe = replace(_GEOMETRIC, scaling=0.0, rotation_rad=math.radians(30))
    _, truth = augment(image, labels, recipe, torch.Generator().manual_seed(1))
    assert abs(int(truth.sum()) / int(labels.sum()) - 1) < 0.1


def test_the_same_generator_gives_the_same_patch() -> None:
    image, labels = _ball()
    first = augment(image, labels, Augmentation(), torch.Generator().manual_seed(5))
    second = augment(image, labels, Augmentation(), torch.Generator().manual_seed(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
