"""`islet train` ends a run early only where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.main import main


@pytest.mark.parametrize("words", [("--finish",), ("--finish", "--resume")])
def test_a_run_that_was_not_begun_cannot_be_finished(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    asked = ("train", "starter", "--data", str(tmp_path), "--run", str(run), *words)
    assert main(list(asked)) == 2
    assert "Only a run that was begun can be finished early." in capsys.readouterr().err
    assert not run.exists()
