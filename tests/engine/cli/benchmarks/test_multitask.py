"""`islet benchmark multitask` compares one network with the sum of three."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.cli.benchmarks import multitask, one_network
from engine.cli.benchmarks.multitask import Cost, ForwardError, compare
from engine.cli.main import main

_SINGLE = ("swin_segmentation", "swin_classification", "swin_detection")


def test_one_network_is_compared_with_the_sum_of_three() -> None:
    costs = {
        "mtmed3d": Cost(30, 50 * 10**9, 120, 1.0, 400 * 10**6),
        "swin_segmentation": Cost(20, 40 * 10**9, 80, 0.5, 300 * 10**6),
        "swin_classification": Cost(30, 30 * 10**9, 120, 1.0, 500 * 10**6),
        "swin_detection": Cost(10, 30 * 10**9, 40, 0.5, 200 * 10**6),
    }
    saved = {saving.what: saving for saving in compare(costs)}
    assert saved["parameters"].percent == pytest.approx(50)
    assert saved["GMACs"].percent == pytest.approx(50)
    assert saved["size, MB"].percent == pytest.approx(50)
    assert saved["latency, s"].percent == pytest.approx(50)
    assert saved["peak memory, side by side, MB"].percent == pytest.approx(60)
    assert saved["peak memory, in turn, MB"].percent == pytest.approx(20)


def test_with_the_papers_channels_the_parameters_are_those_of_its_table() -> None:
    saving = multitask._as_published()
    assert (saving.joint, saving.separate) == (76_698_570, 146_953_665)
    assert saving.percent == pytest.approx(47.81, abs=0.005)


def test_every_figure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process: a process for every pass is another test's.
    monkeypatch.setattr(multitask, "_run", one_network.measure)
    out = tmp_path / "figures.json"
    args = ["benchmark", "multitask", "--size", "toy", "--runs", "1", "--device", "cpu"]
    assert main([*args, "--json", str(out)]) == 0

    said = json.loads(out.read_text(encoding="utf-8"))
    networks = said["networks"]
    assert networks.keys() == {"mtmed3d", *_SINGLE}
    assert all(0 < value < math.inf for cost in networks.values() for value in cost.values())
    savings = {row["what"]: row for row in said["savings"]}
    assert savings["parameters"]["joint"] == networks["mtmed3d"]["parameters"]
    assert savings["parameters"]["separate"] == sum(networks[n]["parameters"] for n in _SINGLE)
    for row in savings.values():
        assert row["percent"] == pytest.approx(100 * (1 - row["joint"] / row["separate"]))


def test_a_network_runs_in_a_process_of_its_own() -> None:
    said = multitask._run("unet", "toy", 2, "cpu", "fp32")
    assert len(said["seconds"]) == 2
    assert all(seconds > 0 for seconds in said["seconds"])
    assert said["peak_bytes"] > 0


def test_a_network_that_does_not_run_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = SimpleNamespace(returncode=-9, stdout="")
    monkeypatch.setattr(multitask.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(ForwardError) as caught:
        multitask._run("mtmed3d", "full", 1, "cpu", "fp32")
    assert caught.value.message == "The network of 'mtmed3d' could not be run on this computer."
    assert caught.value.remedy == "It may have run out of memory; choose a smaller --size."
