"""One call walks from a case to its findings, and says how it went."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import engine.inference.predict as predict_module
from engine.case import Case
from engine.errors import CancelledError
from engine.inference import memory
from engine.inference.memory import (
    NotEnoughMemoryError,
    attempts,
    is_out_of_memory,
    needed_bytes,
    peak_memory_bytes,
)
from engine.inference.outputs import Outputs
from engine.inference.predict import UnsafeVolumeError, predict
from engine.inference.region import Region
from engine.volume import Remark, Volume
from tests.engine.inference.toys import toy_geometry, toy_model, toy_volume

STAGES = ["localise", "prepare", "infer", "restore", "measure"]


def case(volume: Volume | None = None) -> Case:
    return Case("case-7", volume or toy_volume(toy_geometry((60, 110, 120)), organ_mm=(9.0, -7, 5)))


def test_a_prediction_holds_the_lesion_where_it_is() -> None:
    seen = case()
    prediction = predict(seen, toy_model())
    (finding,) = prediction.findings
    assert prediction.labels.geometry.is_same_as(seen.volume.geometry)
    assert finding.centre_mm == pytest.approx((13.0, -10.0, 7.0), abs=0.5)
    assert finding.longest_diameter_mm == pytest.approx(16.0, abs=1.5)
    assert finding.mean_hu == 200
    assert finding.subtype is None
    assert prediction.subtype_probabilities == ()


def test_a_prediction_says_how_it_was_made() -> None:
    prediction = predict(case(), toy_model())
    assert (prediction.case_id, prediction.system) == ("case-7", "toy")
    assert (prediction.route, prediction.device, prediction.precision) == ("region", "cpu", "fp32")
    assert prediction.weights_digest == "0" * 64
    assert list(prediction.seconds) == STAGES
    assert all(seconds > 0 for seconds in prediction.seconds.values())
    assert prediction.peak_memory_bytes > 50_000_000


def test_region_and_whole_scan_give_the_same_labels() -> None:
    # The pancreas phantom of the toy has the network's spacing, so both see the same voxels.
    seen = case()
    by_region = predict(seen, toy_model())
    by_scan = predict(seen, toy_model(with_localiser=False))
    assert (by_region.route, by_scan.route) == ("region", "full")
    np.testing.assert_array_equal(by_region.labels.labels, by_scan.labels.labels)
    assert by_region.findings[0].centre_mm == by_scan.findings[0].centre_mm


@pytest.mark.parametrize(("margin", "route"), [(8, "region"), (1, "full")])
def test_a_region_that_cuts_the_pancreas_is_left_for_a_wider_one(
    margin: int, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = case(toy_volume(toy_geometry((40, 90, 90))))
    cutting = Region(seen.volume, (8, 32, 22), (32, 68, 68), margin=(margin, margin, margin))
    monkeypatch.setattr(predict_module, "find_region", lambda *_: cutting)
    prediction = predict(seen, toy_model())
    assert prediction.route == route
    np.testing.assert_array_equal(prediction.labels.labels > 0, seen.volume.voxels_hu > 0)


def test_stages_are_reported_in_order_each_from_nothing_to_all() -> None:
    reports: list[tuple[str, float]] = []
    predict(case(), toy_model(), on_progress=lambda *report: reports.append(report))
    assert list(dict.fromkeys(stage for stage, _ in reports)) == STAGES
    for stage in STAGES:
        fractions = [done for name, done in reports if name == stage]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_cancelling_lets_the_error_pass() -> None:
    def cancel(stage: str, done: float) -> None:
        if stage == "infer" and done > 0:
            raise CancelledError

    with pytest.raises(CancelledError):
        predict(case(), toy_model(), on_progress=cancel)


def test_an_unsafe_volume_is_refused_with_its_reasons() -> None:
    volume = toy_volume(toy_geometry((10, 20, 20)))
    gap = Remark("Slices are missing between 10 and 25 mm.", blocks_analysis=True)
    with pytest.raises(UnsafeVolumeError) as caught:
        predict(case(replace(volume, remarks=(gap,))), toy_model())
    assert caught.value.message.endswith("Slices are missing between 10 and 25 mm.")
    assert caught.value.remedy == "Open the complete original CT series, and analyse that."


def test_memory_running_out_is_answered_with_smaller_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[int, int, int]] = []
    true_infer = memory.infer_case

    def scarce(*args: object, patch_shape: tuple[int, int, int], **rest: object) -> Outputs:
        tried.append(patch_shape)
        if patch_shape[1] > 32:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return true_infer(*args, patch_shape=patch_shape, **rest)  # pyright: ignore

    monkeypatch.setattr(memory, "infer_case", scarce)
    prediction = predict(case(), toy_model(with_localiser=False))
    assert tried == [(32, 64, 64), (32, 32, 32)]
    assert len(prediction.findings) == 1


def test_memory_running_out_for_good_is_told_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(memory, "infer_case", out_of_memory)
    with pytest.raises(NotEnoughMemoryError) as caught:
        predict(case(), toy_model())
    assert caught.value.message.startswith("The analysis needs about ")
    assert caught.value.message.endswith(" GB of memory, more than is free.")
    assert caught.value.remedy == "Close other programs, or analyse a shorter part of the scan."


def test_other_errors_of_the_network_are_not_taken_for_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(memory, "infer_case", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predict(case(), toy_model())


def test_a_graphics_card_falls_back_to_smaller_windows_and_then_the_cpu() -> None:
    ladder = attempts((48, 80, 112), torch.device("cuda", 0), "fp16")
    assert [(a.patch_shape, a.device.type, a.precision) for a in ladder] == [
        ((48, 80, 112), "cuda", "fp16"),
        ((32, 64, 64), "cuda", "fp16"),
        ((32, 64, 64), "cpu", "fp32"),
    ]
    assert len(attempts((32, 32, 32), torch.device("cpu"), "fp32")) == 1


def test_needed_memory_grows_with_the_scan_and_its_classes() -> None:
    patch = (16, 32, 32)
    one = needed_bytes((100, 100, 100), 3, patch)
    assert needed_bytes((200, 100, 100), 3, patch) - one == 4 * 1_000_000 * 4
    assert needed_bytes((100, 100, 100), 4, patch) - one == 4 * 1_000_000
    assert peak_memory_bytes() > 50_000_000


def test_only_memory_errors_count_as_out_of_memory() -> None:
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
