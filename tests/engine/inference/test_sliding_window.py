"""Windows tile, weigh, blend, report and stop as documented."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.errors import CancelledError
from engine.inference.sliding_window import (
    blend_windows,
    gaussian_weights,
    infer,
    window_positions,
)

CPU = torch.device("cpu")


class Echo(nn.Module):
    """Gives the image as the logit of class 1 and its negative as that of class 0."""

    def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
        return {"segmentation": torch.cat([-image_BCDHW, image_BCDHW], dim=1)}


class Ramp(nn.Module):
    """Gives a logit that grows along the columns of its window, whatever the image."""

    def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
        ramp = torch.arange(image_BCDHW.shape[-1], dtype=torch.float32)
        return {"segmentation": torch.zeros_like(image_BCDHW) + ramp}


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("step", "num"), [(0.5, 80), (0.6, 64), (0.7, 36), (1.0, 27)])
def test_windows_of_a_task07_case_are_as_many_as_nnunets(step: float, num: int) -> None:
    positions = window_positions((93, 512, 512), (40, 224, 192), step)
    assert prod(len(axis) for axis in positions) == num


def test_windows_reach_both_edges_of_the_image() -> None:
    for starts, size, patch in zip(
        window_positions((93, 100, 33), (40, 32, 32), 0.5), (93, 100, 33), (40, 32, 32), strict=True
    ):
        assert starts[0] == 0
        assert starts[-1] == size - patch


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="step must be"):
        window_positions((8, 8, 8), (8, 8, 8), 0.0)


def test_gaussian_peaks_at_ten_in_the_middle_and_vanishes_nowhere() -> None:
    weights = gaussian_weights((16, 32, 24))
    assert weights.shape == (16, 32, 24)
    assert weights[8, 16, 12].item() == pytest.approx(10.0, rel=1e-5)
    assert weights.max() == weights[8, 16, 12]
    assert weights.min() > 0
    # One sigma is an eighth of the window.
    assert weights[10, 16, 12].item() == pytest.approx(10 * np.exp(-0.5), rel=1e-5)


@pytest.mark.parametrize("shape", [(20, 40, 37), (16, 32, 32), (5, 50, 9), (3, 2, 1)])
def test_blended_windows_of_an_identity_network_give_the_image_back(
    shape: tuple[int, int, int],
) -> None:
    array = image(*shape)
    logits = blend_windows(
        Echo(),
        array,
        patch_shape=(16, 32, 32),
        step=0.5,
        mirror_axes=(),
        device=CPU,
        precision="fp32",
    )
    assert logits.shape == (2, *shape)
    np.testing.assert_allclose(logits[1].numpy(), array, atol=1e-5)


def test_probabilities_sum_to_one_and_follow_the_logits() -> None:
    array = image(10, 20, 20)
    found = infer(Echo(), array, patch_shape=(8, 16, 16), device=CPU)
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose(found[1], 1 / (1 + np.exp(-2 * array)), atol=1e-5)


def test_mirrored_passes_are_turned_back_and_averaged() -> None:
    array = image(4, 4, 8)
    common = {"patch_shape": (4, 4, 8), "step": 1.0, "device": CPU, "precision": "fp32"}
    plain = blend_windows(Ramp(), array, mirror_axes=(), **common)
    mirrored = blend_windows(Ramp(), array, mirror_axes=(2,), **common)
    np.testing.assert_allclose(plain[0, 0, 0].numpy(), np.arange(8), atol=1e-6)
    np.testing.assert_allclose(mirrored.numpy(), 3.5, atol=1e-6)
    echoed = blend_windows(Echo(), array, mirror_axes=(0, 1, 2), **common)
    np.testing.assert_allclose(echoed[1].numpy(), array, atol=1e-5)


def test_bf16_is_close_to_fp32() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1)

    class Convolution(nn.Module):
        def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
            return {"segmentation": network(image_BCDHW)}

    array = image(8, 16, 16)
    full = infer(Convolution(), array, patch_shape=(8, 16, 16), device=CPU, precision="fp32")
    half = infer(Convolution(), array, patch_shape=(8, 16, 16), device=CPU, precision="bf16")
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(full, half, atol=0.02)


def test_every_window_is_reported_and_the_last_report_is_one() -> None:
    reports: list[tuple[str, float]] = []
    infer(
        Echo(),
        image(8, 8, 24),
        patch_shape=(8, 8, 8),
        device=CPU,
        on_progress=lambda *report: reports.append(report),
    )
    assert [stage for stage, _ in reports] == ["infer"] * 6
    assert [done for _, done in reports] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_cancelling_stops_before_the_next_window() -> None:
    class Counting(Echo):
        num_calls = 0

        def forward(self, image_BCDHW: Tensor) -> dict[str, Tensor]:
            self.num_calls += 1
            return super().forward(image_BCDHW)

    def cancel_after_two(_stage: str, done: float) -> None:
        if done >= 0.4:
            raise CancelledError

    network = Counting()
    with pytest.raises(CancelledError):
        infer(
            network,
            image(8, 8, 24),
            patch_shape=(8, 8, 8),
            device=CPU,
            on_progress=cancel_after_two,
        )
    assert network.num_calls == 2
