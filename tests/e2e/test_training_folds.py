"""Cross-validation is one command, and goes on where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.archive.runs import read_run
from engine.run import RunState
from tests.e2e.program import PATIENCE_S, Islet
from tests.engine.training.tiny import write_balls

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


def test_two_folds_are_trained_evaluated_and_pooled(tmp_path: Path) -> None:
    islet = Islet(tmp_path / "home")
    dataset = write_balls(tmp_path / "balls", num_cases=10)
    out = tmp_path / "folds"
    words = ["crossvalidate", "unet", "--size", "toy", "--folds", "2", "--device", "cpu"]
    said = islet.run(*words, "--data", dataset, "--out", out).stdout
    assert "Pancreas Dice" in said

    runs = [read_run(out / f"fold-{fold}") for fold in range(2)]
    assert [run.state for run in runs] == [RunState.FINISHED] * 2
    assert [run.plan.fold for run in runs] == [0, 1]
    held_back = [_cases(out / f"report-{fold}") for fold in range(2)]
    assert [len(cases) for cases in held_back] == [2, 2]
    # Each case once, by the run that never saw it.
    assert sorted(_cases(out / "report")) == sorted(held_back[0] + held_back[1])
    for fold, run in enumerate(runs):
        trained = json.loads((run.folder / "splits.json").read_text())[fold]["train"]
        assert not set(trained) & set(held_back[fold])

    again = islet.run(*words, "--data", dataset, "--out", out)
    assert "Fold 0 is done." in again.stderr
    assert "Training fold" not in again.stderr


def _cases(report: Path) -> list[str]:
    written = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))
    return [row["case_id"] for row in written["cases"]]
