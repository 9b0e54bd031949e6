from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from engine.archive import run_folder
from engine.archive.run_folder import (
    RunDiskFullError,
    RunFolder,
    RunFolderError,
    is_alive,
    read_run_file,
    write_wish,
)
from engine.run import RunState
from engine.system_json import system_from_json
from tests.engine.archive.runs_made import TINY, begin_run, tiny_plan


def _events(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_new_run_says_what_it_is(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    values = read_run_file(tmp_path / "run")
    assert values["run_id"] == "run"
    assert values["pid"] == os.getpid()
    assert values["data"] == str(tmp_path / "data")
    assert values["args"] == {"epochs": 2}
    assert values["state"] == "running"
    assert is_alive(values)
    assert system_from_json(json.loads((tmp_path / "run/system.json").read_text())) == TINY
    assert [event["event"] for event in _events(tmp_path / "run")] == ["state"]


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    begin_run(tmp_path / "run").emit("alarm", text="Look.")
    before = (tmp_path / "run/events.jsonl").read_bytes()
    with pytest.raises(RunFolderError) as caught:
        begin_run(tmp_path / "run")
    assert caught.value.message == "The folder holds a training run already."
    assert "--resume" in caught.value.remedy
    assert (tmp_path / "run/events.jsonl").read_bytes() == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("much work")
    with pytest.raises(RunFolderError, match="is not empty"):
        begin_run(tmp_path)
    with pytest.raises(RunFolderError, match="is a file, not a folder"):
        begin_run(tmp_path / "thesis.tex")
    with pytest.raises(RunFolderError, match="cannot be written"):
        begin_run(tmp_path / "thesis.tex" / "run")


def test_a_log_that_a_window_has_opened_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/log.txt").write_text("")
    assert begin_run(tmp_path / "run").log == tmp_path / "run/log.txt"


def test_numbers_that_json_does_not_know_are_written_as_null(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    run.emit("step", losses={"a": float("nan"), "b": float("-inf"), "c": 1.5})
    assert _events(tmp_path / "run")[-1]["losses"] == {"a": None, "b": None, "c": 1.5}


def test_a_line_torn_by_a_kill_is_cut_off_when_the_run_goes_on(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    with (tmp_path / "run/events.jsonl").open("ab") as file:
        file.write(b'{"event": "epoch", "ep')
    RunFolder.reopen(tmp_path / "run").emit("alarm", text="Look.")
    assert [event["event"] for event in _events(tmp_path / "run")] == ["state", "state", "alarm"]


def test_a_run_that_goes_on_forgets_what_it_was_asked(tmp_path: Path) -> None:
    begin_run(tmp_path / "run").set_state(RunState.STOPPED)
    write_wish(tmp_path / "run", "stop")
    run = RunFolder.reopen(tmp_path / "run")
    assert run.wanted() == "run"
    assert read_run_file(tmp_path / "run")["state"] == "running"


def test_two_processes_do_not_train_one_run(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    other = psutil.Process(os.getppid())
    _claim(tmp_path / "run", other)
    with pytest.raises(RunFolderError) as caught:
        RunFolder.reopen(tmp_path / "run")
    assert caught.value.message == "Another process is training this run."
    assert caught.value.remedy == "Wait for it, or stop it with 'islet runs stop'."


def test_a_process_with_the_same_number_is_not_the_same(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    values = read_run_file(tmp_path / "run")
    assert not is_alive({**values, "pid_started": values["pid_started"] - 60})
    assert not is_alive({**values, "pid": None})
    assert not is_alive({**values, "pid": -3})


@pytest.mark.parametrize("wish", ["run", "pause", "stop"])
def test_a_wish_reaches_the_trainer(tmp_path: Path, wish: run_folder.Wish) -> None:
    run = begin_run(tmp_path / "run")
    write_wish(tmp_path / "run", wish)
    assert run.wanted() == wish


def test_without_a_sensible_wish_the_training_goes_on(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    (tmp_path / "run/control").write_text("explode")
    assert run.wanted() == "run"
    (tmp_path / "run/control").unlink()
    assert run.wanted() == "run"


def test_a_failure_is_kept_with_its_remedy(tmp_path: Path) -> None:
    begin_run(tmp_path / "run").set_state(RunState.FAILED, "It broke.", "Mend it.")
    values = read_run_file(tmp_path / "run")
    assert (values["state"], values["message"], values["remedy"]) == (
        "failed",
        "It broke.",
        "Mend it.",
    )
    assert _events(tmp_path / "run")[-1]["message"] == "It broke."


def test_a_full_disk_costs_the_event_and_nothing_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(tmp_path / "run")
    before = (tmp_path / "run/events.jsonl").read_bytes()
    write = os.write

    def write_ten_bytes_at_a_time_until_full(descriptor: int, line: bytes) -> int:
        if len(line) <= 10:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, line[:10])

    monkeypatch.setattr(run_folder.os, "write", write_ten_bytes_at_a_time_until_full)
    with pytest.raises(RunDiskFullError) as caught:
        run.emit("alarm", text="Look.")
    assert caught.value.message == "The disk of the training's folder is full."
    assert caught.value.remedy == (
        "Free some space, and resume the training: what it had saved is kept."
    )
    assert (tmp_path / "run/events.jsonl").read_bytes() == before


def test_a_full_disk_leaves_the_state_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(tmp_path / "run")
    full = Mock(side_effect=OSError(errno.ENOSPC, "full"))
    monkeypatch.setattr(run_folder.os, "fsync", full)
    with pytest.raises(RunDiskFullError):
        run.set_state(RunState.PAUSED)
    assert read_run_file(tmp_path / "run")["state"] == "running"
    assert not list((tmp_path / "run").glob(".*.part"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"run_id": 3}'])
def test_a_damaged_run_file_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match="is damaged") as caught:
        read_run_file(tmp_path)
    assert caught.value.remedy.endswith(".")


def test_a_folder_without_a_run_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError) as caught:
        RunFolder.reopen(tmp_path)
    assert caught.value.message == "There is no training run in this folder."


def test_pictures_lie_by_epoch(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    assert run.picture_path(3) == tmp_path / "run/pictures/epoch-0003.png"
    assert run.picture_path(3).parent.is_dir()


def _claim(folder: Path, process: psutil.Process) -> None:
    values = read_run_file(folder)
    claimed = {"pid": process.pid, "pid_started": process.create_time()}
    (folder / "run.json").write_text(json.dumps({**values, **claimed}))


def test_the_plan_is_beside_the_run(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    plan = json.loads((tmp_path / "run/plan.json").read_text())
    assert plan["precision"] == tiny_plan().precision
    assert "system" not in plan
