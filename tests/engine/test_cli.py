"""`islet` on the command line."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from engine.case import Case
from engine.cli import main
from engine.cli.output import UnusableFolderError, check_output_folder, complete_or_nothing
from engine.data.dicom_series import find_series
from engine.data.images import read_labels, write_volume
from engine.data.phantom.make import Phantom
from engine.data.phantom.spec import PhantomSpec
from engine.errors import CancelledError, IsletError
from engine.finding import Box, Finding, Prediction
from engine.geometry import from_spacing
from engine.progress import OnProgress
from engine.volume import LabelMap, Volume

_NAMES = {1: "pancreas", 2: "lesion"}
_GEOMETRY = from_spacing((4, 6, 8), (3.0, 1.5, 1.0), (10.0, -20.0, 30.0))


def _finding() -> Finding:
    return Finding(
        finding_id="lesion-1",
        structure="lesion",
        probability=0.87,
        centre_mm=(12.0, -18.0, 33.0),
        box_mm=Box((10.0, -20.0, 30.0), (14.0, -16.0, 36.0)),
        volume_mm3=1500.0,
        longest_diameter_mm=14.2,
        short_axis_mm=9.1,
        mean_hu=41.0,
        sd_hu=12.0,
        subtype=0,
    )


def _predict(case: Case, *_args: object, on_progress: OnProgress, **_named: object) -> Prediction:
    on_progress("infer", 0.5)
    on_progress("measure", 1.0)
    labels = np.zeros(_GEOMETRY.shape, dtype=np.uint8)
    labels[1:3, 2:4, 3:5] = 2
    return Prediction(
        case_id=case.case_id,
        system="starter",
        labels=LabelMap(labels, _NAMES, case.volume.geometry),
        findings=(_finding(),),
        subtype_probabilities=(0.7, 0.2, 0.1),
        seconds={"infer": 1.5, "measure": 0.5},
        weights_digest="0" * 64,
    )


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    path = tmp_path / "ct.nii.gz"
    write_volume(Volume(np.zeros(_GEOMETRY.shape, dtype=np.int16), _GEOMETRY), path)
    return path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.inference.predict.predict", _predict)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        pytest.fail("the work has begun")

    monkeypatch.setattr("engine.inference.predict.predict", refuse)
    monkeypatch.setattr("engine.data.source.read_case", refuse)


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--help"])

    said = capsys.readouterr().out
    assert code == 0
    assert all(verb in said for verb in ("view", "predict", "systems", "phantom"))


def test_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"islet \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose"]) == 2
    assert "diagnose" in capsys.readouterr().err


@pytest.mark.usefixtures("engine")
def test_predict_writes_labels_on_the_grid_of_the_scan(ct: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert main(["predict", str(ct), "--out", str(out)]) == 0

    labels = read_labels(out / "labels.nii.gz", _NAMES)
    assert sorted(file.name for file in out.iterdir()) == [
        "findings.json",
        "labels.nii.gz",
        "run.json",
    ]
    assert labels.geometry.is_same_as(_GEOMETRY)
    assert labels.labels.sum() == 2 * 8


@pytest.mark.usefixtures("engine")
def test_predict_writes_what_the_run_cost(ct: Path, tmp_path: Path) -> None:
    main(["predict", str(ct), "--out", str(tmp_path / "out")])

    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["system"] == "starter"
    assert run["stage_seconds"] == {"infer": 1.5, "measure": 0.5}
    assert {"device", "route", "peak_memory_bytes", "islet"} <= run.keys()


@pytest.mark.usefixtures("engine")
def test_json_on_stdout_is_the_file_and_nothing_else(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", str(ct), "--out", str(tmp_path / "out"), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "out/findings.json").read_text())
    assert len(said["findings"]) == 1


@pytest.mark.usefixtures("engine")
def test_findings_are_said_with_their_units(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")

    main(["predict", str(ct), "--out", str(tmp_path / "out")])

    said = capsys.readouterr()
    assert "lesion-1" in said.out
    assert "1.50" in said.out
    assert "mm" in said.out
    assert "Infer" in said.err


@pytest.mark.usefixtures("no_engine")
def test_a_folder_with_files_is_refused_before_the_work(
    ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["predict", str(ct), "--out", str(ct.parent)])

    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err == (
        f"The folder {ct.parent} is not empty.\nName a new folder with --out, or empty this one.\n"
    )


@pytest.mark.usefixtures("no_engine")
def test_an_unknown_system_is_refused_with_a_hint(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["predict", str(ct), "--system", "startr", "--out", str(tmp_path / "out")])

    assert code == 2
    assert capsys.readouterr().err == (
        "There is no system called 'startr'.\nDid you mean 'starter'?\n"
    )


def test_a_missing_scan_is_an_error_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["predict", str(tmp_path / "none"), "--out", str(tmp_path / "out")])

    assert code == 2
    assert "does not exist." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cancelled_work_leaves_with_130(
    ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_args: object, **_named: object) -> None:
        raise CancelledError

    monkeypatch.setattr("engine.inference.predict.predict", cancel)

    assert main(["predict", str(ct), "--out", str(tmp_path / "out")]) == 130
    assert list(tmp_path.iterdir()) == [ct]


def test_ctrl_c_ends_the_work_at_once() -> None:
    program = (
        "import sys, time\n"
        "from engine.cli.progress import with_progress\n"
        "def work(report):\n"
        "    report('infer', 0.1)\n"
        "    sys.stdout.write('begun\\n'); sys.stdout.flush()\n"
        "    time.sleep(60)\n"
        "with_progress(work)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # pytest may run where Ctrl+C is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)

    assert child.returncode == 130
    assert time.monotonic() - started < 5.0
    assert "Nothing was written." in said


def test_a_file_is_no_folder_for_results(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UnusableFolderError, match="is a file, not a folder"):
        check_output_folder(tmp_path / "file", needed_bytes=0)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # Also the administrator cannot make a folder in here.
    place = Path("/proc/self/islet")

    with pytest.raises(UnusableFolderError, match="cannot be written to") as caught:
        check_output_folder(place, needed_bytes=0)

    assert caught.value.remedy.endswith(".")


def test_a_full_disk_is_refused_with_the_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _place: SimpleNamespace(free=10))

    with pytest.raises(UnusableFolderError, match="full; 50 MB are needed"):
        check_output_folder(tmp_path / "a/b/out", needed_bytes=50_000_000)


def _fill_the_disk(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def _stop(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("interruption", "error"), [(_fill_the_disk, IsletError), (_stop, KeyboardInterrupt)]
)
def test_interrupted_results_leave_nothing_behind(
    tmp_path: Path, interruption: Callable[[Path], None], error: type[BaseException]
) -> None:
    with pytest.raises(error), complete_or_nothing(tmp_path / "out") as folder:
        interruption(folder)

    assert list(tmp_path.iterdir()) == []


def test_results_may_go_to_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with complete_or_nothing(tmp_path / "out") as folder:
        (folder / "whole").write_text("whole")

    assert [file.name for file in (tmp_path / "out").iterdir()] == ["whole"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_systems_say_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systems", "--json"]) == 0

    by_name = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    starter = by_name["starter"]
    assert starter["source"]
    assert starter["title"]
    assert "segmentation" in starter["heads"]
    assert starter["parameters"] > 100_000
    assert starter["weights"] in ("installed", "none")


def _phantom_of(spec: PhantomSpec) -> Phantom:
    voxels = np.zeros(_GEOMETRY.shape, dtype=np.int16)
    labels = LabelMap(np.ones(_GEOMETRY.shape, dtype=np.uint8), _NAMES, _GEOMETRY)
    case = Case(
        f"phantom_{spec.seed}",
        Volume(voxels, _GEOMETRY),
        labels,
        annotated=frozenset(_NAMES.values()),
        subtype=spec.subtype,
    )
    return Phantom(spec, case, labels, {})


def _make_phantoms(out: Path, *options: str) -> int:
    """Make them in this process, where they can be quick."""
    return main(["phantom", "--workers", "1", "--out", str(out), *options])


@pytest.fixture
def quick_phantoms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.data.phantom.write.make_phantom", _phantom_of)


@pytest.mark.usefixtures("quick_phantoms")
def test_phantoms_come_with_labels_and_what_they_were_made_from(tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert _make_phantoms(out, "--cases", "5", "--thickness", "4") == 0

    cases = sorted(out.iterdir())
    specs = [json.loads((case / "phantom.json").read_text())["spec"] for case in cases]
    assert [spec["subtype"] for spec in specs] == [0, 1, 2, None, 0]
    assert {spec["slice_thickness_mm"] for spec in specs} == {4.0}
    assert len({spec["seed"] for spec in specs}) == 5
    labels = read_labels(cases[0] / "labels.nii.gz", _NAMES)
    assert labels.geometry.is_same_as(_GEOMETRY)


@pytest.mark.usefixtures("quick_phantoms")
def test_phantoms_as_dicom_are_one_series_a_case(tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert _make_phantoms(out, "--cases", "2", "--format", "dicom") == 0

    for case in out.iterdir():
        (series,) = find_series(case / "series")
        assert series.num_slices == _GEOMETRY.shape[0]
        assert (case / "labels.nii.gz").exists()


@pytest.mark.usefixtures("quick_phantoms")
def test_phantoms_as_a_data_set_come_with_their_subtypes(tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert _make_phantoms(out, "--cases", "4", "--format", "dataset") == 0

    rows = (out / "subtypes.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["subtype", "0", "1", "2", ""]
    assert len(list((out / "imagesTr").iterdir())) == 4


@pytest.mark.usefixtures("quick_phantoms")
def test_phantoms_of_different_seeds_share_no_case(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        _make_phantoms(tmp_path / seed, "--cases", "3", "--seed", seed)

    first, second = ({case.name for case in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first & second == set()


def test_phantoms_that_were_cancelled_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "engine.data.phantom.write.make_phantom", Mock(side_effect=KeyboardInterrupt)
    )

    assert _make_phantoms(tmp_path / "out") == 130

    assert list(tmp_path.iterdir()) == []
    assert "nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        ([], []),
        (["ct.nii.gz", "--analyse"], ["ct.nii.gz", "--analyse"]),
        (
            ["--system", "starter", "--screenshot", "a.png", "--size", "800x600"],
            ["--system", "starter", "--screenshot", "a.png", "--size", "800x600"],
        ),
    ],
)
def test_view_opens_the_window_and_leaves_with_its_code(
    typed: list[str], passed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Mock(return_value=3)
    monkeypatch.setattr("app.__main__.main", window)

    assert main(["view", *typed]) == 3

    window.assert_called_once_with(passed)
