"""`islet benchmark training` measures every row, and its ratios are those of its figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine.case import Case
from engine.cli.benchmarks import training
from engine.cli.benchmarks.training import Row
from engine.cli.main import main
from engine.data.dataset_writer import write_dataset
from engine.geometry import from_spacing
from engine.volume import LabelMap, Volume


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grid = from_spacing((24, 32, 32), (6.0, 5.0, 5.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[8:16, 10:22, 10:22] = 1
    labels[10:13, 12:16, 12:16] = 2
    case = Case(
        case_id="box",
        volume=Volume((labels * 50).astype(np.int16), grid),
        labels=LabelMap(labels, {1: "pancreas", 2: "lesion"}, grid),
        annotated=frozenset({"pancreas", "lesion"}),
        subtype=0,
    )
    folder = tmp_path_factory.mktemp("boxes")
    write_dataset([case], folder)
    return folder


def test_every_row_is_measured_and_its_ratio_is_that_of_its_figures(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two processes are another test's.
    monkeypatch.setattr(training, "_num_shares", lambda _: 1)
    out = tmp_path / "figures.json"
    args = ["benchmark", "training", "--data", str(dataset), "--size", "toy", "--steps", "1"]
    assert main([*args, "--rounds", "1", "--device", "cpu", "--json", str(out)]) == 0

    said = json.loads(out.read_text(encoding="utf-8"))
    assert said["cases"] == 1
    rows = {row["what"]: row for row in said["rows"]}
    skipped = {"two processes", "Islet"} | ({"half precision"} & rows.keys())
    for what, row in rows.items():
        speeds = [row["samples_per_s"], row["control_samples_per_s"]]
        if what in skipped:
            assert speeds == [None, None]
            assert row["ratio"] is row["is_met"] is None
            assert row["control"].endswith(".")
            continue
        assert all(0 < speed < math.inf for speed in speeds)
        assert row["ratio"] == pytest.approx(speeds[0] / speeds[1])
        assert row["is_met"] is (None if row["bar"] is None else row["ratio"] >= row["bar"])
    measured = {
        "patches read", "patches read and changed", "changed in loading threads",
        "changed on the device", "prepared store", "batch in two parts",
    }  # fmt: skip
    assert measured <= rows.keys() - skipped


def test_a_bar_is_met_from_itself_on() -> None:
    assert Row("a", "b", 3.0, 2.0, 1.5).is_met is True
    assert Row("a", "b", 2.99, 2.0, 1.5).is_met is False
    assert Row("a", "b", 3.0, 2.0, None).is_met is None
    assert Row("a", "b", None, None, 1.5).is_met is None


def test_every_other_round_runs_backwards() -> None:
    order: list[str] = []

    def measure(name: str) -> dict[str, float]:
        order.append(name)
        return {name: float(len(order))}

    speeds = training._in_turn({name: lambda n=name: measure(n) for name in "abc"}, 2)
    assert "".join(order) == "abccba"
    assert speeds == {"a": [1.0, 6.0], "b": [2.0, 5.0], "c": [3.0, 4.0]}
