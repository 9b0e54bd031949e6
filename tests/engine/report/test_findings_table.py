from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from engine.finding import Prediction
from engine.report.findings_table import print_findings
from tests.app.make import make_prediction


def _say(prediction: Prediction) -> list[str]:
    out = StringIO()
    print_findings(prediction, Console(file=out, width=120))
    return out.getvalue().splitlines()


def test_every_finding_is_a_row_with_its_figures() -> None:
    lines = _say(make_prediction())
    (row,) = (line for line in lines if "lesion-2" in line)
    for figure in ("45%", "20, 1, 103", "12.35", "31.2 × 24.4", "55 ± 18"):
        assert figure in row
    assert lines[-1] == "Subtype 0: 70%, 1: 20%, 2: 10%"


def test_a_case_without_findings_says_so() -> None:
    nothing = replace(make_prediction(num_findings=0), subtype_probabilities=())
    assert _say(nothing) == ["No lesion was found."]


def test_a_lesion_without_an_outline_has_no_volume_and_is_explained() -> None:
    prediction = make_prediction()
    outlined, other = prediction.findings
    lines = _say(replace(prediction, findings=(outlined, replace(other, volume_mm3=0.0))))
    (row,) = (line for line in lines if "lesion-2" in line)
    assert "31.2 × 24.4 (box)" in row
    assert "–" in row
    assert "12.35" not in row
    assert sum("(box): not outlined" in line for line in lines) == 1
    assert not any("(box)" in line for line in _say(prediction))


def test_a_system_that_looks_for_no_lesions_does_not_say_that_there_is_none() -> None:
    lines = _say(make_prediction(num_findings=0))
    assert lines == [
        "This system tells what a lesion is like. It does not look for one.",
        "Subtype 0: 70%, 1: 20%, 2: 10%",
    ]
