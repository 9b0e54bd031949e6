"""The long road: phantoms, check, prepare, train, evaluate, register, choose, analyse."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from engine.archive.runs import read_details
from engine.case import Case
from engine.data.dataset_writer import write_dataset
from engine.data.images import read_grid, read_labels
from engine.data.phantom.make import NAMES, make_phantom
from engine.data.phantom.spec import PhantomSpec
from engine.data.phantom.write import draw_specs
from engine.geometry import Geometry
from engine.run import RunState
from engine.volume import LabelMap, Volume
from tests.e2e.program import PATIENCE_S, Islet

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

_NUM_CASES = 40
_HELD_BACK = _NUM_CASES // 5
# Coarse and short, for most of a phantom's time goes with its size.
_ACQUISITION = {"slice_thickness_mm": 5.0, "pixel_mm": 3.0, "matrix": 96, "length_mm": 160.0}


@pytest.fixture(scope="module")
def islet(tmp_path_factory: pytest.TempPathFactory) -> Islet:
    return Islet(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_dataset(_cases(), folder)
    return folder


@pytest.fixture(scope="module")
def prepared(islet: Islet, dataset: Path) -> Path:
    """Return the data set, checked and prepared for both sizes of the system."""
    assert f"{_NUM_CASES} cases" in islet.run("check", dataset).stderr
    for size in ("toy", "small"):
        noted = islet.run("prepare", "--data", dataset, "--system", "islet", "--size", size).stderr
        assert noted.count(f"{_NUM_CASES} of {_NUM_CASES} cases prepared") == 2
    return dataset


def test_a_toy_is_trained_and_evaluated(islet: Islet, prepared: Path, tmp_path: Path) -> None:
    run, report = tmp_path / "toy", tmp_path / "report"
    islet.run("train", "islet", "--size", "toy", "--data", prepared, "--run", run)
    _check_run(run, num_epochs=2)
    islet.run("evaluate", run, "--data", prepared, "--out", report)
    _check_report(report, _HELD_BACK)
    remarks = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))["remarks"]
    assert remarks[0] == f"Fold 0: {_HELD_BACK} cases held back of the {_NUM_CASES} there are."


def test_the_smallest_real_size_is_trained_evaluated_registered_and_looks(
    islet: Islet, prepared: Path, tmp_path: Path
) -> None:
    run, report = tmp_path / "small", tmp_path / "report"
    short = ["--size", "small", "--epochs", "1", "--shipped-localiser"]
    islet.run("train", "islet", *short, "--data", prepared, "--run", run)
    _check_run(run, num_epochs=1)
    # Barely trained it sees lesions everywhere, and takes half a minute for a case.
    held_back = json.loads((run / "splits.json").read_text(encoding="utf-8"))[0]["val"]
    few = _copied(prepared, held_back[:2], tmp_path / "few")
    islet.run("evaluate", run, "--data", few, "--out", report)
    _check_report(report, 2)

    islet.run("register", run, "--name", "mine")
    (listed,) = [system for system in islet.json("systems") if system["name"] == "mine"]
    assert listed["registered"]
    assert listed["weights"] == "installed"

    scan = sorted((prepared / "imagesTr").iterdir())[0]
    told = _check_prediction(islet, scan, tmp_path / "prediction")
    picture = tmp_path / "window.png"
    words = ["--analyse", "--system", "mine", "--screenshot", picture, "--size", "1200x800"]
    # The window lists what the command line found with that system.
    assert islet.run("view", scan, *words).stdout == told
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(picture)))
    assert shown.shape[:2] == (800, 1200)
    # A window without a scan has some dozens of grey values; a scan has hundreds.
    assert len(np.unique(shown[..., :3].reshape(-1, 3), axis=0)) > 500


def _check_run(run: Path, num_epochs: int) -> None:
    details = read_details(run)
    assert details.run.state is RunState.FINISHED
    assert len(details.run.history) == num_epochs
    last = details.run.history[-1]
    assert set(last.losses) == {"segmentation", "detection"}
    assert {"dice pancreas", "dice lesion", "AP lesion"} <= set(last.scores)
    assert details.pictures
    assert all(path.stat().st_size > 1000 for path in details.pictures.values())


def _copied(dataset: Path, case_ids: list[str], folder: Path) -> Path:
    """Copy some cases of a data set into one of its own."""
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
        for case_id in case_ids:
            for path in (dataset / kind).glob(f"{case_id}*"):
                shutil.copy(path, folder / kind)
    for name in ("dataset.json", "subtypes.csv"):
        shutil.copy(dataset / name, folder)
    return folder


def _check_report(report: Path, num_cases: int) -> None:
    written = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))
    assert len(written["cases"]) == num_cases
    for name in ("Pancreas Dice", "Lesion Dice"):
        assert 0 <= written["figures"][name]["value"] <= 1
    assert "| Pancreas Dice |" in (report / "evaluation.md").read_text(encoding="utf-8")


def _check_prediction(islet: Islet, scan: Path, out: Path) -> str:
    told = islet.run("predict", scan, "--system", "mine", "--out", out).stdout
    assert told
    labels = read_labels(out / "labels.nii.gz", NAMES)
    assert labels.geometry.is_same_as(read_grid(scan))
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["system"] == "mine"
    return told


def _cases() -> Iterator[Case]:
    """Make phantoms, two at a time."""
    specs = draw_specs(_NUM_CASES, 5, **_ACQUISITION)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for spec, (voxels_hu, labels, geometry) in zip(specs, pool.map(_made, specs), strict=True):
            yield Case(
                f"phantom_{spec.seed}",
                Volume(voxels_hu, geometry),
                LabelMap(labels, NAMES, geometry),
                annotated=frozenset(NAMES.values()),
                subtype=spec.subtype,
            )


def _made(spec: PhantomSpec) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """Return what can be sent to another process."""
    case = make_phantom(spec).case
    assert case.labels is not None
    return case.volume.voxels_hu, case.labels.labels, case.volume.geometry
