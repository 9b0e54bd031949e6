"""Compare predictions with reference labels, case by case and as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.case import Case
from engine.evaluation.classification import collapse_alarms
from engine.evaluation.compare import EVERYTHING, Abilities, CaseRow, compare
from engine.evaluation.detection import sensitivity_at
from engine.evaluation.figures import Figure, all_figures, subtype_confusion
from engine.finding import Prediction


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A system on a set of cases.

    Args:
        system: Name of the system.
        weights_digest: SHA-256 of its weights; of all folds, with a comma between, where the
            cases are those of a cross-validation.
        rows: One per case.
        figures: Means and pooled scores.
        confusion: Cases by true subtype (rows) and answer (columns; the last is no answer).
        sensitivity: Of lesions, by false boxes per case.
        alarms: Finished sentences on signs of a collapsed classifier.
        abilities: What the system was asked for.
    """

    system: str
    weights_digest: str
    rows: tuple[CaseRow, ...]
    figures: tuple[Figure, ...]
    confusion: tuple[tuple[int, ...], ...]
    sensitivity: tuple[tuple[float, float], ...]
    alarms: tuple[str, ...]
    abilities: Abilities = EVERYTHING

    def figure(self, name: str) -> Figure:
        """Return the figure called `name`.

        Raises:
            KeyError: If there is none.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


def evaluate(
    pairs: Iterable[tuple[Case, Prediction]],
    *,
    abilities: Abilities = EVERYTHING,
    seed: int = 0,
) -> Evaluation:
    """Compare predictions with their cases' reference labels.

    Args:
        pairs: Case and prediction on one grid; may be a generator, so that only one scan is in
            memory at a time.
        abilities: What the system can be asked for.
        seed: Of the bootstrap.

    Raises:
        ValueError: If there is no pair, a case has no labels, its grid differs from that of the
            prediction, or the predictions are not all of one system.
    """
    rows: list[CaseRow] = []
    systems: set[tuple[str, str]] = set()
    for case, prediction in pairs:
        rows.append(compare(case, prediction, abilities))
        systems.add((prediction.system, prediction.weights_digest))
    if len(systems) != 1:
        raise ValueError(f"expected the predictions of one system, got {sorted(systems)}")
    ((system, digest),) = systems
    return summarise(system, digest, rows, abilities=abilities, seed=seed)


def pool(folds: Sequence[Evaluation], *, seed: int = 0) -> Evaluation:
    """Return one evaluation of the cases of all folds, each predicted by its own weights.

    Raises:
        ValueError: If there is no fold, they are not of one system, or a case is in two of them.
    """
    names = {fold.system for fold in folds}
    if len(names) != 1:
        raise ValueError(f"expected the folds of one system, got {sorted(names)}")
    rows = [row for fold in folds for row in fold.rows]
    if len({row.case_id for row in rows}) != len(rows):
        raise ValueError("a case is in two folds")
    digests = ",".join(fold.weights_digest for fold in folds)
    return summarise(folds[0].system, digests, rows, abilities=folds[0].abilities, seed=seed)


def summarise(
    system: str,
    weights_digest: str,
    rows: Sequence[CaseRow],
    *,
    abilities: Abilities = EVERYTHING,
    seed: int = 0,
) -> Evaluation:
    """Return the evaluation of cases that are compared already."""
    matrix = subtype_confusion(rows, len(abilities.subtypes))
    counted = [row.detections for row in rows if row.matches]
    return Evaluation(
        system=system,
        weights_digest=weights_digest,
        rows=tuple(rows),
        figures=all_figures(rows, abilities, seed),
        confusion=tuple(tuple(int(count) for count in line) for line in matrix),
        sensitivity=tuple(sensitivity_at(counted).items()),
        alarms=collapse_alarms(matrix) if matrix.sum() else (),
        abilities=abilities,
    )
