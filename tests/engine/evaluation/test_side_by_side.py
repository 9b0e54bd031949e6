"""Evaluations of several systems stand side by side, if they are on the same cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.evaluation.evaluate import evaluate
from engine.evaluation.side_by_side import DifferentCasesError, side_by_side_markdown
from engine.evaluation.table import to_json
from tests.engine.evaluation.test_evaluate import evaluated, pairs


def test_every_system_has_its_row_and_what_it_cannot_do_is_a_dash() -> None:
    other = replace(evaluated(), system="other")
    table = side_by_side_markdown([evaluated(), other], ("Pancreas Dice", "Lesion Dice"))
    header, _, first, second = table.strip().split("\n")
    assert header == "| system | Pancreas Dice | Lesion Dice |"
    assert first.startswith(f"| `{evaluated().system}` | ")
    assert first.split("|")[2:] == second.split("|")[2:]
    value = evaluated().figure("Lesion Dice").value
    assert f"{value:.3f}" in first


def test_other_cases_are_refused() -> None:
    fewer = evaluate(pairs()[:2])
    with pytest.raises(DifferentCasesError) as caught:
        side_by_side_markdown([evaluated(), fewer])
    assert "not on the same cases" in caught.value.message
    assert caught.value.remedy == ("Evaluate both on one data set, with the same fold and split.")


def test_the_command_prints_the_table_of_two_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        text = json.dumps(to_json(replace(evaluated(), system=name)))
        (tmp_path / name / "evaluation.json").write_text(text, encoding="utf-8")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "| `a` |" in said
    assert "| `b` |" in said


def test_reports_of_one_system_are_told_apart_by_their_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(to_json(replace(evaluated(), system="same")))
    other = json.dumps(to_json(replace(evaluated(), system="other")))
    folders = [tmp_path / each for each in ("first/report", "second/report", "third")]
    for folder, content in zip(folders, (text, text, other), strict=True):
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_text(content, encoding="utf-8")
    assert main(["compare", *map(str, folders)]) == 0
    said = capsys.readouterr().out
    for name in ("same (first/report)", "same (second/report)", "other"):
        assert f"| `{name}` |" in said


def test_a_folder_without_an_evaluation_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    assert "There is no evaluation in the folder" in capsys.readouterr().err
