"""Pictures are drawn of what there is, and say what they are not for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.compare import Abilities, CaseRow
from engine.evaluation.detection import IOUS, Candidate, CaseDetections
from engine.evaluation.evaluate import Evaluation, summarise
from engine.evaluation.plots import draw_all
from engine.evaluation.segmentation import UNKNOWN, Agreement

ABILITIES = Abilities(("pancreas", "lesion"), True, ("hypodense solid", "enhancing", "cystic"))


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested where they are made."""
    monkeypatch.setattr("engine.evaluation.bootstrap._NUM_DRAWS", 40)


def row(number: int, generator: np.random.Generator) -> CaseRow:
    has_lesion = number % 4 != 3
    chances = sorted(generator.random(generator.integers(0, 4)), reverse=True)
    candidates = tuple(Candidate(p, has_lesion and n == 0) for n, p in enumerate(chances))
    overlap = float(generator.beta(8, 3))
    return CaseRow(
        case_id=f"case_{number}",
        pancreas=Agreement(0.8 + 0.2 * float(generator.random()), 0.9, 2.0),
        lesion=Agreement(overlap, overlap, 4.0) if has_lesion else UNKNOWN,
        has_lesion=has_lesion,
        probability=max(chances, default=0.0),
        subtype=number % 3 if has_lesion else None,
        subtype_probabilities=tuple(generator.dirichlet(1 + 4 * np.eye(3)[number % 3])),
        matches=tuple(CaseDetections(candidates, int(has_lesion)) for _ in IOUS),
        seconds=1.0,
    )


def evaluation(abilities: Abilities = ABILITIES, num: int = 48) -> Evaluation:
    generator = np.random.default_rng(3)
    return summarise("toy", "ab", [row(n, generator) for n in range(num)], abilities=abilities)


def test_every_picture_is_drawn_and_carries_the_notice(tmp_path: Path) -> None:
    names = draw_all(evaluation(), tmp_path)
    assert names == ("dice.png", "froc.png", "confusion.png", "reliability.png")
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        drawn = (tmp_path / name).with_suffix(".svg").read_text(encoding="utf-8")
        assert "Research use only – not for clinical use" in drawn


def test_what_a_system_cannot_do_is_not_drawn(tmp_path: Path) -> None:
    assert draw_all(evaluation(Abilities(("pancreas", "lesion"), True, ()), 8), tmp_path) == (
        "dice.png",
        "froc.png",
        "reliability.png",
    )


def test_cases_that_nobody_looked_at_are_not_drawn(tmp_path: Path) -> None:
    blank = CaseRow("a", UNKNOWN, UNKNOWN, None, 0.5, None, (), (), 1.0)
    assert draw_all(summarise("toy", "ab", [blank]), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_same_evaluation_gives_the_same_files(tmp_path: Path) -> None:
    pictures = []
    for place in (tmp_path / "a", tmp_path / "b"):
        place.mkdir()
        draw_all(evaluation(Abilities(("pancreas", "lesion"), False, ()), 6), place)
        pictures.append([(place / name).read_bytes() for name in ("dice.png", "dice.svg")])
    assert pictures[0] == pictures[1]
