from __future__ import annotations

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
    assert _say(make_prediction(num_findings=0)) == ["No lesion was found."]
