"""A network is scored on what is known of the cases that were held back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from engine.catalogue import SYSTEMS
from engine.data.store import StoredCase
from engine.inference.detect import Boxes
from engine.inference.outputs import Outputs
from engine.training.validate import Validator, crop_to_region
from tests.engine.training.balls import ball_plan

_BOX = (4.0, 4.0, 4.0, 8.0, 8.0, 8.0)


def _case(name: str, *, looked_for_lesions: bool) -> StoredCase:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:10, 2:10, 2:10] = 1
    if looked_for_lesions:
        labels[4:8, 4:8, 4:8] = 2
    nothing = np.zeros((0, 3), np.int32)
    return StoredCase(
        name,
        np.full(labels.shape, looked_for_lesions, np.float16),
        labels,
        (nothing, nothing),
        None,
        (True, looked_for_lesions),
    )


def test_a_box_where_nobody_looked_for_lesions_is_not_false(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def infer(_network: Any, _system: Any, image: np.ndarray, **_: Any) -> Outputs:
        # Surer where nobody looked: as a false box it would halve the precision.
        sure = 0.6 if image.any() else 0.9
        return Outputs(None, Boxes(np.array([_BOX], np.float32), np.array([sure], np.float32)))

    monkeypatch.setattr("engine.training.validate.infer_case", infer)
    plan = replace(ball_plan(1), system=SYSTEMS.get("swin_detection").at("toy"))
    cases = [_case("known", looked_for_lesions=True), _case("open", looked_for_lesions=False)]
    scores = Validator(plan, cases)(nn.Identity(), 1)  # pyright: ignore[reportArgumentType]
    assert scores["AP lesion"] == pytest.approx(1.0)


def _whole(shape: tuple[int, int, int], organ: tuple[slice, slice, slice]) -> StoredCase:
    labels = np.zeros(shape, np.uint8)
    labels[organ] = 1
    return replace(
        _case("case", looked_for_lesions=True), image=np.ones(shape, np.float16), labels=labels
    )


def test_a_case_is_cropped_nowhere_smaller_than_a_window() -> None:
    system = SYSTEMS.get("starter")
    assert system.inference.patch_shape == (48, 80, 112)
    organ = (slice(50, 60), slice(2, 22), slice(40, 140))
    case = crop_to_region(_whole((90, 120, 200), organ), system)
    # Slices and rows grow to a window, inside the volume; columns are wider with their margins.
    assert case.labels.shape == (48, 80, 100 + 2 * 13)
    assert case.image.shape == case.labels.shape
    assert case.labels.sum() == 10 * 20 * 100
    assert np.nonzero(case.labels)[1].min() == 2
    # Where the volume itself is smaller, all of it is looked at.
    small = crop_to_region(_whole((30, 40, 50), (slice(5, 9), slice(5, 9), slice(5, 9))), system)
    assert small.labels.shape == (30, 40, 50)
