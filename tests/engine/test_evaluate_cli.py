"""`islet evaluate` and `islet crossvalidate`: which cases are meant, and what is written."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.archive.registered import original_name, register, systems_folder
from engine.archive.run_folder import RunFolder
from engine.case import Case
from engine.catalogue.starter import STARTER
from engine.cli import crossvalidate as crossvalidation
from engine.cli.evaluation_target import EvaluationError, choose_cases, find_target
from engine.cli.main import main
from engine.components import find_components
from engine.data.dataset_writer import write_dataset
from engine.data.datasets import find_entries
from engine.data.splits import keep_whole, kept_split
from engine.errors import CancelledError, IsletError
from engine.finding import Finding, Prediction
from engine.geometry import from_spacing
from engine.run import Plan, RunState
from engine.system import Part, System
from engine.volume import LabelMap, Volume

GRID = from_spacing((8, 10, 12), (2.0, 2.0, 2.0))
NAMES = {1: "pancreas", 2: "lesion"}
SYSTEM = replace(
    STARTER,
    network=Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)}),
    inference=replace(STARTER.inference, patch_shape=(8, 8, 8)),
    localiser=None,
)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested where they are made."""
    monkeypatch.setattr("engine.evaluation.bootstrap._NUM_DRAWS", 40)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.evaluation.plots.draw_all", lambda *_: ())


def a_case(number: int) -> Case:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:6, 2:8, 2:10] = 1
    if number % 4 != 3:
        labels[3:5, 3:6, 3 + number % 3 : 6 + number % 3] = 2
    voxels = np.random.default_rng(number).integers(-1000, 200, GRID.shape, np.int16)
    return Case(
        f"case_{number:02}",
        Volume(voxels, GRID),
        LabelMap(labels, NAMES, GRID),
        annotated=frozenset(NAMES.values()),
        subtype=number % 3 if number % 4 != 3 else None,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cases"
    write_dataset((a_case(number) for number in range(10)), folder)
    return folder


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def a_run(
    folder: Path, data: Path, *, fold: int | None, weights: bool = True, system: System = SYSTEM
) -> Path:
    plan = Plan(system, data.name, (2.0, 2.0, 2.0), (8, 8, 8), 1, "fp32", 1, fold=fold)
    run = RunFolder.create(folder, plan, data=data, args={})
    if fold is None:
        keep_whole(find_entries(data), folder)
    else:
        kept_split(find_entries(data), folder, data=data)
    if weights:
        save_file({"w": torch.zeros(1)}, run.weights, {"islet": json.dumps({"format": 1})})
    run.set_state(RunState.FINISHED)
    return folder


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Predict every case as its reference says, without a network; return who was asked for."""
    asked: list[str] = []

    def predict(case: Case, model: SimpleNamespace) -> Prediction:
        asked.append(case.case_id)
        assert case.labels is not None
        findings = tuple(
            Finding("lesion-1", "lesion", 0.9, c.centre_mm, c.box_mm, c.volume_mm3, 1, 1, 0, 1)
            for c in find_components(case.labels, "lesion")
        )
        chances = tuple(np.eye(3)[case.subtype]) if case.subtype is not None else ()
        return Prediction(
            case.case_id, model.system.name, case.labels, findings, chances, {"infer": 1.0},
            model.digest,
        )  # fmt: skip

    def load_model(system, _device: str, weights: Path | None) -> SimpleNamespace:
        digest = "shipped" if weights is None else weights.parent.name
        return SimpleNamespace(
            system=system, digest=digest, device=torch.device("cpu"), precision="fp32"
        )

    monkeypatch.setattr("engine.inference.predict.predict", predict)
    monkeypatch.setattr("engine.inference.model.load_model", load_model)
    return asked


def held_back(data: Path, run: Path, fold: int) -> list[str]:
    return list(kept_split(find_entries(data), run, data=data)[fold].validate)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_is_evaluated_on_the_cases_it_held_back(
    data: Path, tmp_path: Path, predictions: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    run = a_run(tmp_path / "run", data, fold=1)
    assert main(["evaluate", str(run), "--data", str(data), "--out", str(tmp_path / "out")]) == 0

    assert predictions == held_back(data, run, 1)
    written = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert [row["case_id"] for row in written["cases"]] == predictions
    assert written["remarks"] == ["Fold 1: 2 cases held back of the 10 there are."]
    assert written["figures"]["Pancreas Dice"]["value"] == 1.0
    assert written["costs"][0]["num_parameters"] > 0
    said = capfd.readouterr()
    assert "| Pancreas Dice | 1.000 |" in said.out
    assert "held back" in said.err


@pytest.mark.usefixtures("no_pictures")
def test_training_cases_are_evaluated_only_where_that_is_asked_for_and_said(
    data: Path, tmp_path: Path, predictions: list[str]
) -> None:
    run = a_run(tmp_path / "run", data, fold=0)
    arguments = ["--data", str(data), "--out", str(tmp_path / "out"), "--split", "all"]
    assert main(["evaluate", str(run), *arguments]) == 0
    assert len(predictions) == 10
    text = (tmp_path / "out/evaluation.md").read_text()
    assert "8 of the 10 cases were trained on" in text


def test_a_report_holds_tables_pictures_and_a_line_for_every_case(
    data: Path, tmp_path: Path, predictions: list[str]
) -> None:
    assert main(["evaluate", "starter", "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"evaluation.json", "evaluation.md", "cases.csv", "dice.png", "froc.svg"} <= names
    rows = list(csv.DictReader((tmp_path / "out/cases.csv").read_text().splitlines()))
    assert [row["case_id"] for row in rows] == predictions
    text = (tmp_path / "out/evaluation.md").read_text()
    assert "Research use only" in text
    assert "| nnDetection, five folds | MSD Task07 |" in text
    assert "![froc](froc.png)" in text
    assert "nan" not in text


def test_a_copy_of_the_data_set_is_the_data_set(data: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", data, fold=2)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    cases = choose_cases(
        find_target(str(run), None), find_entries(copy), copy, fold=None, split=None
    )
    assert [entry.case_id for entry in cases.entries] == held_back(data, run, 2)


def test_another_data_set_is_evaluated_whole(data: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", data, fold=2)
    other = tmp_path / "other"
    write_dataset((replace(a_case(n), case_id=f"new_{n}") for n in range(6)), other)
    cases = choose_cases(
        find_target(str(run), None), find_entries(other), other, fold=None, split=None
    )
    assert len(cases.entries) == 6
    assert cases.remarks == ()


def test_cases_with_the_names_of_training_cases_are_said(data: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", data, fold=2)
    larger = tmp_path / "larger"
    write_dataset((a_case(n) for n in range(12)), larger)
    target, entries = find_target(str(run), None), find_entries(larger)
    cases = choose_cases(target, entries, larger, fold=None, split=None)
    assert cases.entries == entries
    assert cases.remarks == (
        "Going by their names: 8 of the 12 cases were trained on: "
        "the figures tell of memory, not of new cases.",
    )


def registered(run: Path) -> str:
    """Register the run, and lose it."""
    name = register(run, "mine").name
    shutil.rmtree(run)
    return name


def test_a_registered_system_is_evaluated_on_the_cases_its_run_held_back(
    data: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", data, fold=2)
    expected, entries = held_back(data, run, 2), find_entries(data)
    target = find_target(registered(run), None)
    cases = choose_cases(target, entries, data, fold=None, split=None)
    assert [entry.case_id for entry in cases.entries] == expected
    assert cases.remarks == ("Fold 2: 2 cases held back of the 10 there are.",)
    assert choose_cases(target, entries, data, fold=2, split="validation") == cases

    everything = choose_cases(target, entries, data, fold=None, split="all")
    assert everything.entries == entries
    assert everything.remarks[0].startswith("8 of the 10 cases were trained on: ")
    with pytest.raises(EvaluationError, match="held back fold 2 and was trained on"):
        choose_cases(target, entries, data, fold=1, split=None)


@pytest.mark.usefixtures("no_pictures", "predictions")
def test_a_registered_system_stands_beside_the_paper_of_the_one_it_was_trained_as(
    data: Path, tmp_path: Path
) -> None:
    paper = replace(SYSTEM, name="resenc_multitask")
    name = registered(a_run(tmp_path / "run", data, fold=2, system=paper))
    # Also where a training began with a registered system.
    second = a_run(tmp_path / "second", data, fold=2, system=replace(paper, name=name))
    assert original_name(register(second).name) == "resenc_multitask"
    assert main(["evaluate", name, "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/evaluation.md").read_text()
    assert "| **mine**, measured |" in text
    assert "multi-task with its joint head, the paper's own |" in text


def test_a_registered_system_without_its_split_is_damaged_or_knows_nothing(
    data: Path, tmp_path: Path
) -> None:
    name = registered(a_run(tmp_path / "run", data, fold=2))
    split = systems_folder() / name / "splits.json"
    split.write_text("[]")
    with pytest.raises(IsletError, match="'mine' is damaged"):
        find_target(name, None)
    split.unlink()
    cases = choose_cases(find_target(name, None), find_entries(data), data, fold=None, split=None)
    assert (len(cases.entries), cases.remarks) == (10, ())


@pytest.mark.parametrize("is_registered", [False, True])
def test_a_run_trained_on_everything_says_so(
    data: Path, tmp_path: Path, is_registered: bool
) -> None:
    run = a_run(tmp_path / "run", data, fold=None)
    target = find_target(registered(run) if is_registered else str(run), None)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    entries = find_entries(copy)
    cases = choose_cases(target, entries, copy, fold=None, split=None)
    assert cases.entries == entries
    assert cases.remarks == (
        "No case was held back. 10 of the 10 cases were trained on: "
        "the figures tell of memory, not of new cases.",
    )
    entries = find_entries(data)
    with pytest.raises(EvaluationError, match="held none back") as caught:
        choose_cases(target, entries, data, fold=None, split="validation")
    assert caught.value.remedy == "Evaluate it on another data set, or train it with --fold."


def test_another_fold_than_the_runs_own_is_refused(data: Path, tmp_path: Path) -> None:
    target = find_target(str(a_run(tmp_path / "run", data, fold=2)), None)
    with pytest.raises(EvaluationError, match="held back fold 2 and was trained on") as caught:
        choose_cases(target, find_entries(data), data, fold=1, split=None)
    assert caught.value.remedy.startswith("Leave --fold out")


def test_folds_of_a_system_are_those_a_training_would_get(data: Path, tmp_path: Path) -> None:
    entries, target = find_entries(data), find_target("starter", None)
    cases = choose_cases(target, entries, data, fold=3, split=None)
    assert [entry.case_id for entry in cases.entries] == held_back(data, tmp_path / "any", 3)
    with pytest.raises(EvaluationError, match="which fold's validation") as caught:
        choose_cases(target, entries, data, fold=None, split="validation")
    assert caught.value.remedy == "Name it with --fold, from 0 to 4, or give --split all."


def test_remarks_speak_of_one_case_as_one(data: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", data, fold=2)
    target, entries = find_target(str(run), None), find_entries(data)
    (seen, kept) = (
        next(e for e in entries if (e.case_id in held_back(data, run, 2)) is is_kept)
        for is_kept in (False, True)
    )
    for chosen, split, remark in (
        ([kept], None, "Fold 2: the only case was held back."),
        ([seen, kept], None, "Fold 2: 1 case held back of the 2 there are."),
        ([seen, kept], "all", "1 of the 2 cases was trained on: "),
        ([seen], "all", "The only case was trained on: "),
    ):
        cases = choose_cases(target, chosen, data, fold=None, split=split)
        assert cases.remarks[0].startswith(remark)


def test_a_run_without_weights_is_refused(data: Path, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", data, fold=0, weights=False)
    with pytest.raises(EvaluationError, match="no weights yet") as caught:
        find_target(str(run), None)
    assert caught.value.remedy == (
        "They are written when a training is finished: resume it, or start one with fewer epochs, "
        "and evaluate it then."
    )


def test_a_name_that_is_neither_run_nor_system_is_refused_with_a_hint(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "startr", *arguments]) == 2
    assert "Did you mean 'starter'?" in capfd.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_a_case_that_fails_costs_no_other(
    data: Path, tmp_path: Path, predictions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.inference.predict as module

    works = module.predict

    def fail_once(case: Case, model: SimpleNamespace) -> Prediction:
        if case.case_id == "case_04":
            raise IsletError("The scan is too long.", remedy="Cut it.")
        return works(case, model)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr("engine.inference.predict.predict", fail_once)
    assert main(["evaluate", "starter", "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    written = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert written["num_cases"] == 9
    assert written["remarks"] == ["Case case_04 was left out. The scan is too long."]


def test_where_no_case_can_be_analysed_nothing_is_written(
    data: Path, tmp_path: Path, predictions: list[str], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise IsletError("The scan is too long.", remedy="Cut it.")

    monkeypatch.setattr("engine.inference.predict.predict", fail)
    assert main(["evaluate", "starter", "--data", str(data), "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert "None of the 10 cases could be analysed. Case case_09 was left out." in said
    assert "Check the data set, or choose another one." in said
    assert not (tmp_path / "out").exists()


def test_a_cancelled_evaluation_leaves_nothing(
    data: Path, tmp_path: Path, predictions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        raise CancelledError

    monkeypatch.setattr("engine.inference.predict.predict", cancel)
    assert main(["evaluate", "starter", "--data", str(data), "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_refused_before_any_work(
    data: Path, tmp_path: Path, predictions: list[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["evaluate", "starter", "--data", str(data), "--out", str(tmp_path)]) == 2
    assert predictions == []


class Trainer:
    """Stands for the training processes: makes finished runs, or fails as told."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.words: list[list[str]] = []
        self.codes: dict[int, int] = {}

    def __call__(self, words: list[str]) -> int:
        self.words.append(words)
        fold = int(words[words.index("--fold") + 1])
        if fold in self.codes:
            return self.codes.pop(fold)
        a_run(Path(words[words.index("--run") + 1]), self.data, fold=fold)
        return 0


@pytest.fixture
def trainer(data: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    made = Trainer(data)
    monkeypatch.setattr(crossvalidation, "_run_to_its_end", made)
    return made


def crossvalidate(data: Path, out: Path, *more: str) -> int:
    arguments = ["--data", str(data), "--out", str(out), "--size", "toy", *more]
    return main(["crossvalidate", "starter", *arguments])


@pytest.mark.usefixtures("no_pictures")
def test_every_case_is_predicted_once_by_the_run_that_held_it_back(
    data: Path, tmp_path: Path, predictions: list[str], trainer: Trainer
) -> None:
    assert crossvalidate(data, tmp_path / "cv") == 0
    assert sorted(predictions) == [entry.case_id for entry in find_entries(data)]
    written = json.loads((tmp_path / "cv/report/evaluation.json").read_text())
    assert written["num_cases"] == 10
    assert written["weights_digest"] == "fold-0,fold-1,fold-2,fold-3,fold-4"
    assert [words[words.index("--fold") + 1] for words in trainer.words] == list("01234")
    text = (tmp_path / "cv/report/evaluation.md").read_text()
    assert "| figure | fold 0 | fold 1 | fold 2 | fold 3 | fold 4 | mean | SD |" in text
    assert "nan" not in text


@pytest.mark.usefixtures("no_pictures")
def test_a_failed_fold_keeps_the_others_and_is_gone_on_with(
    data: Path, tmp_path: Path, predictions: list[str], trainer: Trainer,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    trainer.codes[1] = 2
    assert crossvalidate(data, tmp_path / "cv", "--folds", "2") == 2
    assert "The training of fold 1 did not finish." in capfd.readouterr().err
    assert (tmp_path / "cv/report-0/evaluation.json").exists()

    first = list(predictions)
    assert crossvalidate(data, tmp_path / "cv", "--folds", "2") == 0
    assert len(predictions) == 4
    assert predictions[: len(first)] == first
    assert "Fold 0 is done." in capfd.readouterr().err
    written = json.loads((tmp_path / "cv/report/evaluation.json").read_text())
    assert written["num_cases"] == 4


def test_a_cancelled_training_cancels_the_whole(
    data: Path, tmp_path: Path, predictions: list[str], trainer: Trainer
) -> None:
    trainer.codes[0] = 130
    assert crossvalidate(data, tmp_path / "cv") == 130
    assert predictions == []


def test_another_cross_validation_is_not_mixed_in(
    data: Path, tmp_path: Path, trainer: Trainer, capfd: pytest.CaptureFixture[str]
) -> None:
    trainer.codes[0] = 130
    crossvalidate(data, tmp_path / "cv")
    assert crossvalidate(data, tmp_path / "cv", "--seed", "7") == 2
    said = capfd.readouterr().err
    assert "holds another cross-validation." in said
    assert len(trainer.words) == 1


def test_the_training_is_started_with_what_was_asked_for(tmp_path: Path) -> None:
    order = {
        "system": "unet", "data": "/d", "size": "small", "epochs": None, "seed": 3,
        "device": "cpu", "devices": 1, "store": None,
    }  # fmt: skip
    words = crossvalidation.command(tmp_path, 2, order, resume=True)
    assert words[1:5] == ["-m", "engine.cli", "train", "unet"]
    assert "--epochs" not in words
    assert words[-1] == "--resume"
    assert words[words.index("--seed") + 1] == "3"
    assert "--resume" not in crossvalidation.command(tmp_path, 2, order, resume=False)
