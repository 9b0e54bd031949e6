"""Augmentation changes the look of a patch, not its meaning."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.training.augment import Augmentation, augment

_STILL = Augmentation(
    flip_share=0.0,
    spatial_share=0.0,
    elastic_share=0.0,
    noise=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma_share=0.0,
    blur_share=0.0,
)
_AFFINE = replace(_STILL, spatial_share=1.0)
_ELASTIC = replace(_STILL, elastic_share=1.0)
_FLIPPED = replace(_STILL, flip_share=1.0)
_ALWAYS = Augmentation(
    flip_share=1.0, spatial_share=1.0, elastic_share=1.0, gamma_share=1.0, blur_share=1.0
)


def _ball(shape: tuple[int, int, int] = (24, 32, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    labels = (((z - shape[0] // 2) ** 2 + (y - 16) ** 2 + (x - 28) ** 2) < 36).long()
    return labels.float() * 2 - 1, labels


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_with_every_change_off_the_patch_stays() -> None:
    image, labels = _ball()
    same, truth = augment(image, labels, _STILL, _seeded(0))
    assert torch.equal(same, image)
    assert torch.equal(truth, labels)


@pytest.mark.parametrize("recipe", [_AFFINE, _ELASTIC, replace(_AFFINE, elastic_share=1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_image_and_labels_move_together(recipe: Augmentation, seed: int) -> None:
    image, labels = _ball()
    moved, truth = augment(image, labels, recipe, _seeded(seed))
    assert not torch.equal(truth, labels)
    assert float(moved[truth == 1].mean()) > 0.8
    assert float(moved[truth == 0].mean()) < -0.9


def test_left_stays_left() -> None:
    image, labels = _ball()
    recipe = replace(_AFFINE, flip_share=1.0, elastic_share=1.0)
    for seed in range(20):
        _, truth = augment(image, labels, recipe, _seeded(seed))
        assert float(truth.nonzero()[:, 2].float().mean()) > 20


def test_only_the_axes_asked_for_are_flipped() -> None:
    image = torch.arange(24.0).reshape(2, 3, 4)
    labels = image.long() % 3
    for axes in ((), (0,), (0, 1), (2,)):
        flipped, truth = augment(image, labels, replace(_FLIPPED, flip_axes=axes), _seeded(0))
        assert torch.equal(flipped, image.flip(axes))
        assert torch.equal(truth, labels.flip(axes))


def test_a_rotation_keeps_shapes_in_an_oblong_patch() -> None:
    image, labels = _ball()
    recipe = replace(_AFFINE, scaling=0.0, rotation_rad=math.radians(30))
    _, truth = augment(image, labels, recipe, _seeded(1))
    assert abs(int(truth.sum()) / int(labels.sum()) - 1) < 0.1


def test_elastic_pushes_reach_no_further_than_asked() -> None:
    _, labels = _ball()
    columns = torch.arange(40.0).expand(24, 32, 40)
    recipe = replace(_ELASTIC, elastic=0.25, elastic_distance=8.0)
    pushed = torch.stack(
        [augment(columns, labels, recipe, _seeded(seed))[0] - columns for seed in range(5)]
    )
    assert 1.0 < float(pushed.abs().max()) <= 2.001


def test_elastic_bending_folds_nothing_over() -> None:
    columns = torch.arange(40.0).expand(24, 32, 40)
    for seed in range(5):
        bent, _ = augment(columns, columns.long(), _ELASTIC, _seeded(seed))
        inner = bent[:, :, 4:-4]
        assert float(inner.diff(dim=2).min()) > 0


def test_a_gamma_keeps_the_range_and_the_order_of_grey_values() -> None:
    image = torch.linspace(-1.6, 2.9, 60).reshape(3, 4, 5)
    recipe = replace(_STILL, gamma_share=1.0)
    for seed in range(4):
        changed, _ = augment(image, image.long(), recipe, _seeded(seed))
        assert not torch.allclose(changed, image, atol=1e-3)
        ends = [float(changed.min()), float(changed.max())]
        assert ends == pytest.approx([-1.6, 2.9], abs=1e-5)
        assert float(changed.flatten().diff().min()) > 0


def test_a_lower_resolution_keeps_flat_regions_and_blurs_edges() -> None:
    image, labels = _ball()
    blurred, _ = augment(image, labels, replace(_STILL, blur_share=1.0), _seeded(0))
    assert torch.allclose(blurred[:, :8], image[:, :8])
    edge = (blurred > -0.9) & (blurred < 0.9)
    assert bool(edge.any())
    assert blurred.shape == image.shape


@pytest.mark.parametrize("seed", range(3))
def test_a_single_slice_stays_in_its_plane(seed: int) -> None:
    image, labels = _ball((1, 32, 40))
    moved, truth = augment(image, labels, replace(_AFFINE, elastic_share=1.0), _seeded(seed))
    assert moved.shape == truth.shape == (1, 32, 40)
    # In a rotation out of the plane, rows or columns far from the middle would turn to background.
    ones = torch.ones_like(labels)
    _, kept = augment(image, ones, replace(_AFFINE, scaling=0.0), _seeded(seed))
    assert float(kept[0, 8:24, 10:30].float().min()) == 1
    assert abs(int(truth.sum()) / int(labels.sum()) - 1) < 0.6


def test_a_single_slice_takes_every_change() -> None:
    image, labels = _ball((1, 32, 40))
    changed, truth = augment(image, labels, _ALWAYS, _seeded(0))
    assert bool(changed.isfinite().all())
    assert set(truth.unique().tolist()) == {0, 1}


def test_labels_stay_whole_numbers_of_the_same_set() -> None:
    image, labels = _ball()
    changed, truth = augment(image, labels * 2, _ALWAYS, _seeded(1))
    assert truth.dtype == torch.int64
    assert set(truth.unique().tolist()) == {0, 2}
    assert changed.dtype == torch.float32


def test_the_same_generator_gives_the_same_patch() -> None:
    image, labels = _ball()
    first = augment(image, labels, _ALWAYS, _seeded(5))
    second = augment(image, labels, _ALWAYS, _seeded(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("seed", range(5))
def test_a_patch_is_the_same_on_another_device(seed: int) -> None:
    image, labels = _ball()
    here = augment(image, labels, _ALWAYS, _seeded(seed))
    there = augment(image.cuda(), labels.cuda(), _ALWAYS, _seeded(seed))
    assert there[0].is_cuda
    # A sample on the very border between two voxels may fall on either side.
    assert float((here[0] - there[0].cpu()).abs().mean()) < 1e-4
    assert float((here[1] != there[1].cpu()).float().mean()) < 1e-3
