"""Published rows stand beside ours, each with its source and without what was not reported."""

from __future__ import annotations

import numpy as np

from engine.evaluation.compare import CaseRow
from engine.evaluation.evaluate import Evaluation, summarise
from engine.evaluation.published import PUBLISHED, rows_beside
from engine.evaluation.segmentation import Agreement
from engine.evaluation.table import published_markdown


def evaluation(system: str) -> Evaluation:
    rows = [
        CaseRow(
            f"case_{n}", Agreement(d, 1.0, 0.0), Agreement(d / 2, 0, 0), True, 0.5, 0, (), (), 1
        )
        for n, d in enumerate(np.linspace(0.8, 0.9, 5))
    ]
    return summarise(system, "ab", rows)


def test_one_case_is_a_case() -> None:
    row = evaluation("any").rows[0]
    assert "| 1 case of this data set |" in published_markdown(summarise("any", "ab", [row]))


def test_every_row_has_a_source_and_figures_that_an_evaluation_has() -> None:
    known = {figure.name for figure in evaluation("any").figures}
    for row in PUBLISHED:
        assert row.source
        assert row.data
        assert row.figures
        assert set(row.figures) <= known
        assert all(0 < value < 1 for value in row.figures.values())


def test_a_systems_own_paper_comes_first_and_other_systems_papers_do_not_come() -> None:
    rows = rows_beside("resenc_multitask")
    assert "multi-task" in rows[0].who
    assert not any("C2FNAS" in row.who for row in rows)
    assert rows_beside("starter") == tuple(row for row in PUBLISHED if not row.systems)


def test_the_measured_row_stands_above_the_papers_with_its_interval() -> None:
    header, _, ours, first, *_ = published_markdown(evaluation("resenc_multitask")).splitlines()
    assert ours.startswith(
        "| **resenc_multitask**, measured | 5 cases of this data set | 0.850 (0."
    )
    assert "| 0.91 | 0.625 | – | – | – | 0.196 |" in first
    assert header.count("|") == ours.count("|") == first.count("|")
