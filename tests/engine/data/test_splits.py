"""A split gives every fold its share, and stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.datasets import Entry
from engine.data.splits import (
    Fold,
    SplitError,
    check_split,
    keep_whole,
    kept_split,
    read_split,
    split,
)
from engine.errors import IsletError


def _entries(subtypes: list[int | None]) -> list[Entry]:
    nowhere = Path("nowhere")
    return [Entry(f"case_{n:03}", nowhere, nowhere, each) for n, each in enumerate(subtypes)]


_TWENTY = _entries([0, 1, 2, None] * 5)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([0, 1, 2, None]), min_size=5, max_size=60),
    st.integers(2, 5),
    st.integers(0, 99),
)
def test_every_case_validates_once_and_folds_differ_by_one_case(subtypes, num_folds, seed) -> None:
    entries = _entries(subtypes)
    folds = split(entries, num_folds, seed)
    check_split(folds, entries)
    validated = [case_id for fold in folds for case_id in fold.validate]
    assert sorted(validated) == [entry.case_id for entry in entries]
    of = {entry.case_id: entry.subtype for entry in entries}
    for subtype in (0, 1, 2, None):
        counts = [sum(of[case_id] == subtype for case_id in fold.validate) for fold in folds]
        assert max(counts) - min(counts) <= 1
    sizes = [len(fold.validate) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides_and_the_order_of_cases_does_not() -> None:
    assert split(_TWENTY) == split(_TWENTY[::-1])
    assert split(_TWENTY, seed=1) != split(_TWENTY)


@pytest.mark.parametrize("num_folds", [1, 21])
def test_an_impossible_number_of_folds_is_refused(num_folds: int) -> None:
    with pytest.raises(IsletError) as caught:
        split(_TWENTY, num_folds)
    assert caught.value.message == f"20 cases cannot be split into {num_folds} folds."
    assert "--fold all" in caught.value.remedy


def test_a_whole_split_trains_on_every_case_and_stays(tmp_path: Path) -> None:
    keep_whole(_TWENTY, tmp_path)
    (whole,) = read_split(tmp_path / "splits.json")
    assert whole == Fold(tuple(entry.case_id for entry in _TWENTY), ())
    keep_whole(_TWENTY, tmp_path)
    with pytest.raises(SplitError) as caught:
        keep_whole(_TWENTY[1:], tmp_path)
    assert "has no case case_000" in caught.value.message


def test_a_saved_split_is_used_again_whatever_the_seed(tmp_path: Path) -> None:
    first = kept_split(_TWENTY, tmp_path / "run", data=tmp_path)
    assert read_split(tmp_path / "run" / "splits.json") == first
    assert kept_split(_TWENTY, tmp_path / "run", data=tmp_path, seed=7) == first
    assert kept_split(_TWENTY, tmp_path / "other", data=tmp_path, seed=7) != first


def test_a_split_of_nnunet_is_taken_over_and_saved(tmp_path: Path) -> None:
    names = [entry.case_id for entry in _TWENTY]
    theirs = [{"train": names[4:], "val": names[:4]}, {"train": names[:4], "val": names[4:]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(theirs))
    folds = kept_split(_TWENTY, tmp_path / "run", data=tmp_path)
    assert folds[0] == Fold(tuple(names[4:]), tuple(names[:4]))
    (tmp_path / "splits_final.json").unlink()
    assert kept_split(_TWENTY, tmp_path / "run", data=tmp_path) == folds


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        (_TWENTY[:-1], "the data set has no case case_019"),
        ([*_TWENTY, *_entries([None] * 21)[20:]], "fold 0 leaves out case case_020"),
    ],
)
def test_a_split_of_other_cases_is_refused(tmp_path: Path, entries, what: str) -> None:
    kept_split(_TWENTY, tmp_path, data=tmp_path)
    with pytest.raises(SplitError) as caught:
        kept_split(entries, tmp_path, data=tmp_path)
    assert caught.value.message == f"The saved split does not fit the data set: {what}."
    assert caught.value.remedy.startswith("Choose a new folder for the run, or delete")


def test_validating_on_what_was_trained_on_is_refused() -> None:
    names = tuple(entry.case_id for entry in _TWENTY)
    with pytest.raises(SplitError, match="fold 0 trains and validates on case case_003"):
        check_split([Fold(names, names[3:4])], _TWENTY)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '[{"train": ["a"]}]', '[{"train": 1, "val": 2}]']
)
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(SplitError) as caught:
        kept_split(_TWENTY, tmp_path, data=tmp_path)
    assert "splits.json" in caught.value.message


def test_a_split_that_cannot_be_saved_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IsletError) as caught:
        kept_split(_TWENTY, tmp_path / "file" / "run", data=tmp_path)
    assert caught.value.message == "The split of the cases cannot be saved."
    assert caught.value.remedy.startswith("Check that the folder of the run can be written")
