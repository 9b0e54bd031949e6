from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from app.controllers.review_files import ReviewFiles
from engine.finding import Prediction, Review
from tests.app.make import make_prediction


def _decide(prediction: Prediction, number: int, review: Review, reason: str = "") -> tuple:
    findings = list(prediction.findings)
    findings[number] = replace(findings[number], review=review, reason=reason)
    return tuple(findings)


def _only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


def test_decisions_come_back_when_the_case_is_analysed_again(tmp_path: Path) -> None:
    prediction = make_prediction()
    decided = _decide(prediction, 1, Review.REJECTED, "Vessel")
    ReviewFiles(tmp_path).save(prediction, decided)
    assert ReviewFiles(tmp_path).restore(make_prediction()) == decided


def test_a_case_nobody_reviewed_has_proposed_findings(tmp_path: Path) -> None:
    prediction = make_prediction()
    assert ReviewFiles(tmp_path / "none").restore(prediction) == prediction.findings


def test_decisions_follow_the_place_of_a_finding_not_its_number(tmp_path: Path) -> None:
    prediction = make_prediction()
    ReviewFiles(tmp_path).save(prediction, _decide(prediction, 1, Review.CONFIRMED))
    swapped = tuple(
        replace(finding, finding_id=f"lesion-{number}")
        for number, finding in enumerate(reversed(prediction.findings), start=1)
    )
    restored = ReviewFiles(tmp_path).restore(replace(prediction, findings=swapped))
    assert [finding.review for finding in restored] == [Review.CONFIRMED, Review.PROPOSED]


def test_decisions_about_other_weights_are_kept_but_not_applied(tmp_path: Path) -> None:
    old, new = make_prediction(digest="old"), make_prediction(digest="new")
    reviews = ReviewFiles(tmp_path)
    reviews.save(old, _decide(old, 0, Review.CONFIRMED))
    assert reviews.restore(new) == new.findings
    reviews.save(new, _decide(new, 1, Review.REJECTED, "Vessel"))
    assert reviews.restore(old)[0].review is Review.CONFIRMED


def test_a_decision_about_a_finding_that_is_gone_is_kept(tmp_path: Path) -> None:
    both, one = make_prediction(), make_prediction(num_findings=1)
    reviews = ReviewFiles(tmp_path)
    reviews.save(both, _decide(both, 1, Review.CONFIRMED))
    reviews.save(one, _decide(one, 0, Review.REJECTED, "Vessel"))
    states = [finding.review for finding in reviews.restore(both)]
    assert states == [Review.REJECTED, Review.CONFIRMED]


def test_an_undone_decision_is_forgotten(tmp_path: Path) -> None:
    prediction = make_prediction()
    reviews = ReviewFiles(tmp_path)
    reviews.save(prediction, _decide(prediction, 0, Review.CONFIRMED))
    reviews.save(prediction, prediction.findings)
    assert reviews.restore(prediction) == prediction.findings


def test_a_damaged_file_is_set_aside_not_overwritten(tmp_path: Path) -> None:
    prediction = make_prediction()
    reviews = ReviewFiles(tmp_path)
    reviews.save(prediction, _decide(prediction, 0, Review.CONFIRMED))
    _only_file(tmp_path).write_text("{half a fi")
    assert reviews.restore(prediction) == prediction.findings
    (aside,) = tmp_path.glob("*.broken")
    assert aside.read_text() == "{half a fi"


def test_the_file_name_does_not_hold_the_case_id(tmp_path: Path) -> None:
    prediction = make_prediction("../case 7")
    ReviewFiles(tmp_path).save(prediction, prediction.findings)
    assert "case" not in _only_file(tmp_path).name
    assert json.loads(_only_file(tmp_path).read_text())["case_id"] == "../case 7"
