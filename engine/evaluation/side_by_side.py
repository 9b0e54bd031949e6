"""Put several evaluations on the same cases side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from engine.errors import IsletError
from engine.evaluation.evaluate import Evaluation
from engine.evaluation.figures import Figure

COLUMNS = (
    "Pancreas Dice",
    "Lesion Dice",
    "Lesion AP at IoU 0.1",
    "False lesions per healthy case",
    "Case AUROC",
    "Subtype macro-F1",
)


class DifferentCasesError(IsletError):
    """Evaluations that were not made on the same cases."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(
            f"The evaluations of '{first}' and '{second}' are not on the same cases.",
            remedy="Evaluate both on one data set, with the same fold and split.",
        )


def side_by_side_markdown(
    evaluations: Sequence[Evaluation],
    columns: Sequence[str] = COLUMNS,
    *,
    names: Sequence[str] | None = None,
) -> str:
    """Return one row for each evaluation, figures with their 95 % intervals, as Markdown.

    Args:
        evaluations: On the same cases, in any order of these.
        columns: Names of figures.
        names: What each evaluation is called; None takes the names of their systems.

    Raises:
        DifferentCasesError: If they are not on the same cases.
        KeyError: If there is no figure of a name.
    """
    called = names or [evaluation.system for evaluation in evaluations]
    cases = {row.case_id for row in evaluations[0].rows}
    for name, other in zip(called, evaluations, strict=True):
        if {row.case_id for row in other.rows} != cases:
            raise DifferentCasesError(called[0], name)
    lines = [
        f"| system | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
    ]
    for name, evaluation in zip(called, evaluations, strict=True):
        cells = [_cell(evaluation.figure(name)) for name in columns]
        lines.append(f"| {' | '.join((f'`{name}`', *cells))} |")
    return "\n".join(lines) + "\n"


def _cell(figure: Figure) -> str:
    low, high = figure.interval
    if isnan(figure.value):
        return "–"
    if isnan(low):
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({low:.2f}–{high:.2f})"
